"""Options of the command line -> the options of an Ascend NPU's session, all checked without npu_bridge."""
import json
import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from ..errors import KwsError
from .npu_options import (
    AOE_MODES, BEFORE, EXPERIMENTAL, MIXED, MIXED_V2, NEWEST, OPTIONS, PROCESS, RELEASES, Option, nearest, one_of
)

DEFAULT_PRECISION = "allow_mix_precision"
FP16_GRADIENTS = {"allow_mix_precision", "allow_mix_precision_fp16", "allow_fp32_to_fp16", "force_fp16"}
FP16_GRADIENTS_V2 = {"fp16", "mixed_float16"}
# The default of npu_bridge since r1.8. Older releases have no default and abort.
PROFILING = {
    "training_trace": "on", "task_trace": "on", "hccl": "on", "aicpu": "on", "aic_metrics": "PipeUtilization",
    "msproftx": "off",
}

# Options that contradict one another although each value is valid: (whether they do, problem, advice).
_RULES = (
    (lambda has: has("precision_mode") and has("precision_mode_v2"),
     "--precision-mode and --npu-option precision_mode_v2 both choose the precision", "give one of them"),
    (lambda has: has("modify_mixlist") and not (has("precision_mode") in MIXED or has("precision_mode_v2") in MIXED_V2),
     "--modify-mixlist changes the lists of mixed precision, which is off", "use --precision-mode allow_mix_precision"),
    (lambda has: has("optypelist_for_implmode") and not has("op_select_implmode"),
     "--npu-option optypelist_for_implmode has no effect without --op-select-implmode", "give both"),
    (lambda has: (has("iterations_per_loop") or 1) > 1 and has("mix_compile_mode"),
     "--iterations-per-loop above 1 and --npu-option mix_compile_mode exclude each other", "give one of them"),
    (lambda has: (has("iterations_per_loop") or 1) > 1 and has("dynamic_input"),
     "--iterations-per-loop above 1 and --npu-option dynamic_input exclude each other", "give one of them"),
    (lambda has: has("enable_dump") and has("enable_dump_debug"),
     "an NPU cannot use --data-dump-flag and --over-dump at the same time", "give one of them"),
    (lambda has: has("dump_debug_mode") and not has("enable_dump_debug"),
     "--npu-option dump_debug_mode has no effect without --over-dump", "give both"),
    (lambda has: (has("dump_layer") or has("dump_data")) and not has("enable_dump"),
     "--npu-option dump_layer and dump_data have no effect without --data-dump-flag", "give --data-dump-flag too"),
    (lambda has: (has("aoe_config_file") or has("work_path")) and not has("aoe_mode"),
     "--work-path and --npu-option aoe_config_file have no effect without --aoe-mode", "give --aoe-mode too"),
    (lambda has: len({has(key) is None for key in ("input_shape", "dynamic_dims", "dynamic_node_type")}) > 1,
     "--npu-option input_shape, dynamic_dims and dynamic_node_type depend on one another",
     "give all three of them, or leave all out"),
    (lambda has: has("dynamic_dims") and has("mix_compile_mode"),
     "--npu-option dynamic_dims and mix_compile_mode exclude each other", "give one of them"),
    (lambda has: has("dynamic_graph_execute_mode") and not has("dynamic_input"),
     "--npu-option dynamic_graph_execute_mode has no effect without dynamic_input=True", "give both"),
    (lambda has: has("dynamic_inputs_shape_range") and has("dynamic_graph_execute_mode") != "dynamic_execute",
     "--npu-option dynamic_inputs_shape_range has no effect without dynamic_graph_execute_mode=dynamic_execute",
     "give both"),
    (lambda has: has("compress_weight_conf") and has("enable_compress_weight"),
     "--npu-option compress_weight_conf and enable_compress_weight exclude each other", "give one of them"),
    (lambda has: (has("in_out_pair") or has("in_out_pair_flag")) and not has("mix_compile_mode"),
     "--npu-option in_out_pair and in_out_pair_flag have no effect without mix_compile_mode=True",
     "give mix_compile_mode=True too"),
)
# Environment variables that npu_bridge does not accept together: it reads ranks from a table or from CM_*.
_ENVIRONMENT_RULES = (
    ("CM_WORKER_SIZE", "RANK_SIZE"), ("CM_WORKER_SIZE", "RANK_TABLE_FILE"), ("CM_WORKER_SIZE", "RANK_ID"),
    ("CM_CHIEF_IP", "RANK_TABLE_FILE"),
)
# The environment variables that npu_bridge reads.
VARIABLES: List[str] = (
    "ASCEND_DEVICE_ID DEVICE_ID JOB_ID RANK_TABLE_FILE RANK_ID RANK_SIZE CM_CHIEF_IP CM_CHIEF_PORT CM_CHIEF_DEVICE "
    "CM_WORKER_SIZE CM_WORKER_IP"
).split()


def device_number(given: Optional[int] = None, environ: Mapping[str, str] = os.environ) -> int:
    """The number of the device: --device-id, else $ASCEND_DEVICE_ID, else $DEVICE_ID, else 0."""
    for name in ("ASCEND_DEVICE_ID", "DEVICE_ID"):
        if given is None and environ.get(name):
            if not environ[name].isdecimal():
                raise KwsError("$%s is %r" % (name, environ[name]), "it must be the number of a device")
            given = int(environ[name])
    return given or 0


def option_of(key: str, release: str = NEWEST) -> Option:
    """The Option that a release of npu_bridge has under a key."""
    if key.startswith("experimental_"):
        return EXPERIMENTAL
    for option in (OPTIONS.get(key), BEFORE.get(key)):
        if option and RELEASES.index(option.since) <= RELEASES.index(release):
            return option
    if key in OPTIONS:
        since = BEFORE.get(key, OPTIONS[key]).since
        raise KwsError(
            "the NPU option %s needs npu_bridge %s or newer, but this one is %s or older" % (key, since, release),
            "leave it out",
        )
    close = nearest(key, OPTIONS)
    raise KwsError("there is no NPU option %s" % key, close or "the options are: " + ", ".join(sorted(OPTIONS)))


def checked(key: str, given: Any, release: str = NEWEST) -> Tuple[str, Any]:
    """(field, value) of one option."""
    option = option_of(key, release)
    try:
        return option.field, option.check(given)
    except ValueError as error:
        raise KwsError("%s is %r" % (_flag(key, option), given), str(error))


def _flag(key, option):
    """How a user gives an option."""
    return option.flag or "--npu-option " + key


def loss_scale(given: str) -> Union[None, str, float]:
    """--loss-scale as None (for "none"), "dynamic" or a number."""
    if given in ("none", "dynamic"):
        return None if given == "none" else given
    try:
        number = float(given)
    except ValueError:
        number = 0
    if not 1 <= number < 2.0 ** 128:  # the range of float32
        raise KwsError(
            "--loss-scale is %r" % given, "it must be dynamic, none or a number that is at least 1 and below 2^128"
        )
    return number


def loss_scale_of(settings: Any) -> Union[None, str, float]:
    """The loss scale of DeviceSettings: what the user chose, else dynamic where gradients are float16."""
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
            raise KwsError("--npu-option is %r" % item, "it must be KEY=VALUE")
        if option_of(key).flag:
            raise KwsError("--npu-option %s has an option of its own" % key, "use " + option_of(key).flag)
        if key in found:
            raise KwsError("--npu-option %s is given twice" % key, "give it once")
        found[key] = value
    return found


def _of_settings(settings, folder, asked):
    """{key: value} of the DeviceSettings that differ from "off"."""
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
    values.update(_diagnostics_of(settings, folder))
    if "aoe_mode" in values:
        values.setdefault("work_path", folder)
    return values


def _diagnostics_of(settings, folder):
    """{key: value} of dumps and profiling."""
    values = {}
    if settings.over_dump:
        values.update(enable_dump_debug=True, dump_path=folder, dump_debug_mode="all")
    if settings.data_dump_flag:
        values.update(
            enable_dump=True, dump_path=folder, dump_step=settings.data_dump_step, dump_mode=settings.dump_mode
        )
    if settings.profiling:
        values.update(profiling_mode=True, profiling_options=_profiling(settings.profiling_options, folder))
    return values


def _profiling(given, folder):
    folder = checked("dump_path", folder)[1]
    if given is None:
        return json.dumps(dict(PROFILING, output=folder))
    found = {**PROFILING, "output": folder, **json.loads(checked("profiling_options", given)[1])}
    if found["training_trace"] == "off":
        found["task_trace"] = "off"  # it needs training_trace; a contradiction in what the user gave is refused above
    return json.dumps(found)


def options_of(
    settings: Any, folder: str, release: str = NEWEST, environ: Mapping[str, str] = os.environ
) -> Dict[str, Tuple[str, Any]]:
    """DeviceSettings -> the options of npu_bridge {key: (field, value)}. folder: for dumps and traces."""
    asked = _asked(settings)
    given = dict(_of_settings(settings, folder, asked), **asked)
    found = {key: checked(key, value, release) for key, value in given.items()}

    def has(key):
        return found[key][1] if key in found else None

    for wrong, problem, advice in _RULES:
        if wrong(has):
            raise KwsError(problem, advice)
    old = RELEASES.index(release) < RELEASES.index("r1.13")
    if has("modify_mixlist") and old and has("precision_mode") != MIXED[0]:
        raise KwsError(
            "npu_bridge up to r1.12 uses --modify-mixlist only with --precision-mode allow_mix_precision, "
            "and this one is %s or older" % release, "give both",
        )
    _check_environment(environ, tunes="aoe_mode" in given)
    return found


def _check_environment(environ, tunes):
    """Refuse what npu_bridge cannot read. tunes: whether --aoe-mode replaces $AOE_MODE."""
    for one, other in _ENVIRONMENT_RULES:
        if environ.get(one) and environ.get(other):
            raise KwsError("$%s and $%s both describe the workers" % (one, other), "unset one of them")
    if environ.get("AOE_MODE") and not tunes:
        try:
            one_of(*AOE_MODES)(environ["AOE_MODE"])
        except ValueError as error:
            raise KwsError("$AOE_MODE is %r" % environ["AOE_MODE"], str(error))


def process_options(options: Dict[str, Tuple[str, Any]]) -> Dict[str, Tuple[str, Any]]:
    """The options that the first session of a process decides for all of its sessions."""
    return {key: value for key, value in options.items() if option_of(key).scope == PROCESS}


def doubts(options: Dict[str, Tuple[str, Any]], oldest: str) -> Iterator[str]:
    """A line for each option that is deprecated, or that release `oldest` of npu_bridge does not know yet."""
    for key in sorted(options):
        option = option_of(key)
        if option.instead:
            yield "The NPU option %s is deprecated; use %s." % (key, option.instead)
        since = BEFORE.get(key, option).since
        if RELEASES.index(since) > RELEASES.index(oldest):
            yield "%s needs npu_bridge %s, and this one may be as old as %s, where it has no effect." % (
                _flag(key, option), since, oldest
            )
