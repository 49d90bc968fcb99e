"""Flags -> the parameter map of an Ascend NPU's session, or one line that says what cannot be; without the adapter."""
import json
import os

from ..errors import KwsError
from .npu_options import (
    AOE_MODES, BEFORE, EXPERIMENTAL, MIXED, MIXED_V2, NEWEST, OPTIONS, PROCESS, RELEASES, nearest, one_of
)

DEFAULT_PRECISION = "allow_mix_precision"
FP16_GRADIENTS = {"allow_mix_precision", "allow_mix_precision_fp16", "allow_fp32_to_fp16", "force_fp16"}
FP16_GRADIENTS_V2 = {"fp16", "mixed_float16"}
# As the adapter's own default since r1.8; before, it stopped without any.
PROFILING = {
    "training_trace": "on", "task_trace": "on", "hccl": "on", "aicpu": "on", "aic_metrics": "PipeUtilization",
    "msproftx": "off",
}

# What two right values can do wrong together: (wrong where, what to say).
_RULES = (
    (lambda has: has("precision_mode") and has("precision_mode_v2"),
     "--precision-mode and --npu-option precision_mode_v2 both choose the precision; give one of them"),
    (lambda has: has("modify_mixlist") and not (has("precision_mode") in MIXED or has("precision_mode_v2") in MIXED_V2),
     "--modify-mixlist changes the lists of mixed precision; it needs --precision-mode allow_mix_precision"),
    (lambda has: has("optypelist_for_implmode") and not has("op_select_implmode"),
     "--npu-option optypelist_for_implmode names the operations of --op-select-implmode; give that too"),
    (lambda has: (has("iterations_per_loop") or 1) > 1 and has("mix_compile_mode"),
     "--iterations-per-loop of more than 1 and --npu-option mix_compile_mode exclude each other; give one of them"),
    (lambda has: (has("iterations_per_loop") or 1) > 1 and has("dynamic_input"),
     "--iterations-per-loop of more than 1 and --npu-option dynamic_input exclude each other; give one of them"),
    (lambda has: has("enable_dump") and has("enable_dump_debug"),
     "--data-dump-flag and --over-dump cannot dump at the same time on an NPU; give one of them"),
    (lambda has: has("dump_debug_mode") and not has("enable_dump_debug"),
     "--npu-option dump_debug_mode acts with --over-dump only; give that too"),
    (lambda has: (has("dump_layer") or has("dump_data")) and not has("enable_dump"),
     "--npu-option dump_layer and dump_data act with --data-dump-flag only; give that too"),
    (lambda has: (has("aoe_config_file") or has("work_path")) and not has("aoe_mode"),
     "--work-path and --npu-option aoe_config_file are of the tuning; give --aoe-mode too"),
    (lambda has: len({has(key) is None for key in ("input_shape", "dynamic_dims", "dynamic_node_type")}) > 1,
     "--npu-option input_shape, dynamic_dims and dynamic_node_type go together; give all three or none"),
    (lambda has: has("dynamic_dims") and has("mix_compile_mode"),
     "--npu-option dynamic_dims and mix_compile_mode exclude each other; give one of them"),
    (lambda has: has("dynamic_graph_execute_mode") and not has("dynamic_input"),
     "--npu-option dynamic_graph_execute_mode is read with dynamic_input=True only; give that too"),
    (lambda has: has("dynamic_inputs_shape_range") and has("dynamic_graph_execute_mode") != "dynamic_execute",
     "--npu-option dynamic_inputs_shape_range needs dynamic_graph_execute_mode=dynamic_execute; give that too"),
    (lambda has: has("compress_weight_conf") and has("enable_compress_weight"),
     "--npu-option compress_weight_conf and enable_compress_weight exclude each other; give one of them"),
    (lambda has: (has("in_out_pair") or has("in_out_pair_flag")) and not has("mix_compile_mode"),
     "--npu-option in_out_pair acts with mix_compile_mode=True only; give that too"),
)
# The same of the environment, as the adapter reads it: ranks come from a table or from CM_*, never from both.
_ENVIRONMENT_RULES = (
    ("CM_WORKER_SIZE", "RANK_SIZE"), ("CM_WORKER_SIZE", "RANK_TABLE_FILE"), ("CM_WORKER_SIZE", "RANK_ID"),
    ("CM_CHIEF_IP", "RANK_TABLE_FILE"),
)


# What the adapter reads of the environment, as a start of a training sets it, see README.md.
VARIABLES = (
    "ASCEND_DEVICE_ID DEVICE_ID JOB_ID RANK_TABLE_FILE RANK_ID RANK_SIZE CM_CHIEF_IP CM_CHIEF_PORT CM_CHIEF_DEVICE "
    "CM_WORKER_SIZE CM_WORKER_IP"
).split()


def device_number(given=None, environ=os.environ):
    """--device-id over $ASCEND_DEVICE_ID over $DEVICE_ID over 0."""
    for name in ("ASCEND_DEVICE_ID", "DEVICE_ID"):
        if given is None and environ.get(name):
            if not environ[name].isdecimal():
                raise KwsError("$%s is %r; it must be the number of a device" % (name, environ[name]))
            given = int(environ[name])
    return given or 0


def option_of(key, release=NEWEST):
    """The Option that a release of the adapter has under a key."""
    if key.startswith("experimental_"):
        return EXPERIMENTAL
    for option in (OPTIONS.get(key), BEFORE.get(key)):
        if option and RELEASES.index(option.since) <= RELEASES.index(release):
            return option
    if key in OPTIONS:
        since = BEFORE.get(key, OPTIONS[key]).since
        raise KwsError("%s came with npu_bridge %s, and this one is %s or older; leave it out" % (key, since, release))
    known = nearest(key, OPTIONS) or "; they are: " + ", ".join(sorted(OPTIONS))
    raise KwsError("there is no NPU option %s%s" % (key, known))


def checked(key, given, release=NEWEST):
    """(field, value) of one option."""
    option = option_of(key, release)
    try:
        return option.field, option.check(given)
    except ValueError as error:
        raise KwsError("%s is %r; %s" % (option.flag or "--npu-option " + key, given, error))


def loss_scale(given):
    """--loss-scale as None (none), "dynamic" or a number."""
    if given in ("none", "dynamic"):
        return None if given == "none" else given
    try:
        number = float(given)
    except ValueError:
        number = 0
    if not 1 <= number < 2.0 ** 128:  # what float32 holds
        raise KwsError("--loss-scale is %r; it must be dynamic, none or a number of at least 1 and below 2^128" % given)
    return number


def loss_scale_of(settings):
    """The scale of a training in float16: as asked for, else dynamic where gradients are float16."""
    if settings.loss_scale is not None:
        return loss_scale(settings.loss_scale)
    asked = _asked(settings)
    mode = settings.precision_mode or ("precision_mode_v2" not in asked and DEFAULT_PRECISION)
    return "dynamic" if mode in FP16_GRADIENTS or asked.get("precision_mode_v2") in FP16_GRADIENTS_V2 else None


def _asked(settings):
    """{key: text} of --npu-option KEY=VALUE."""
    found = {}
    for item in settings.npu_option:
        key, equals, value = item.partition("=")
        if not equals:
            raise KwsError("--npu-option is %r; it must be KEY=VALUE" % item)
        if option_of(key).flag:
            raise KwsError("--npu-option %s has a flag of its own; use %s" % (key, option_of(key).flag))
        if key in found:
            raise KwsError("--npu-option %s is given twice; give it once" % key)
        found[key] = value
    return found


def _of_flags(settings, folder, asked):
    """{key: value} of the flags that are not left at "off"."""
    values = {"use_off_line": True}
    for key in ("modify_mixlist", "fusion_switch_file", "op_select_implmode", "aoe_mode", "work_path"):
        if getattr(settings, key) is not None:
            values[key] = getattr(settings, key)
    if settings.device_id is not None:
        values["session_device_id"] = settings.device_id
    if settings.precision_mode or "precision_mode_v2" not in asked:
        values["precision_mode"] = settings.precision_mode or DEFAULT_PRECISION
    if settings.iterations_per_loop > 1:
        values.update(iterations_per_loop=settings.iterations_per_loop, enable_data_pre_proc=True)
    if settings.over_dump:
        values.update(enable_dump_debug=True, dump_path=folder, dump_debug_mode="all")
    if settings.data_dump_flag:
        values.update(
            enable_dump=True, dump_path=folder, dump_step=settings.data_dump_step, dump_mode=settings.dump_mode
        )
    if settings.profiling:
        values.update(profiling_mode=True, profiling_options=_profiling(settings.profiling_options, folder))
    if "aoe_mode" in values:
        values.setdefault("work_path", folder)
    return values


def _profiling(given, folder):
    folder = checked("dump_path", folder)[1]
    if given is None:
        return json.dumps(dict(PROFILING, output=folder))
    found = {**PROFILING, "output": folder, **json.loads(checked("profiling_options", given)[1])}
    if found["training_trace"] == "off":
        found["task_trace"] = "off"  # which needs the other; what was given together was checked
    return json.dumps(found)


def options_of(settings, folder, release=NEWEST, environ=os.environ):
    """DeviceSettings -> {key: (field, value)} of the parameter map; folder: where dumps and traces go."""
    asked = _asked(settings)
    given = dict(_of_flags(settings, folder, asked), **asked)
    found = {key: checked(key, value, release) for key, value in given.items()}

    def has(key):
        return found[key][1] if key in found else None

    for wrong, message in _RULES:
        if wrong(has):
            raise KwsError(message)
    old = RELEASES.index(release) < RELEASES.index("r1.13")
    if has("modify_mixlist") and old and has("precision_mode") != MIXED[0]:
        raise KwsError("--modify-mixlist needs --precision-mode allow_mix_precision up to npu_bridge %s" % release)
    for one, other in _ENVIRONMENT_RULES:
        if environ.get(one) and environ.get(other):
            raise KwsError("$%s and $%s are both set, two ways to say who takes part; unset one of them" % (one, other))
    if environ.get("AOE_MODE") and "aoe_mode" not in given:
        try:
            one_of(*AOE_MODES)(environ["AOE_MODE"])
        except ValueError as error:
            raise KwsError("$AOE_MODE is %r; %s" % (environ["AOE_MODE"], error))
    return found


def process_options(options):
    """Those of a parameter map that the first session of a process decides for all of its sessions."""
    return {key: value for key, value in options.items() if option_of(key).scope == PROCESS}


def doubts(options, oldest):
    """A line for each option that the adapter is giving up, or that one of release `oldest` does not know yet."""
    for key in sorted(options):
        option = option_of(key)
        if option.instead:
            yield "The NPU option %s is deprecated; use %s." % (key, option.instead)
        since = BEFORE.get(key, option).since
        if RELEASES.index(since) > RELEASES.index(oldest):
            yield ("%s came with npu_bridge %s, and this one may be older, from %s on: then it changes nothing."
                   % (option.flag or "--npu-option " + key, since, oldest))
