"""What the adapter checks of a session at its first run, and what it should. Written apart from kwscli's own table."""
import json
import os
import re

import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from . import _control
from ._control import FakeNpuFatal, FakeStrictError

FIELDS = {
    "b": """use_off_line mix_compile_mode enable_data_pre_proc enable_dump enable_dump_debug profiling_mode
        hcom_parallel dynamic_input variable_format_optimize is_tailing_optimization lower_functional_ops
        hcom_multi_mode in_out_pair_flag enable_compress_weight external_weight frozen_variable""",
    "i": """iterations_per_loop enable_exception_dump op_debug_level graph_run_mode session_device_id dynamic_node_type
        enable_small_channel local_rank_id deterministic hccl_timeout op_wait_timeout op_execute_timeout
        graph_exec_timeout static_memory_policy atomic_clean_policy topo_sorting_mode stream_sync_timeout
        event_sync_timeout task_index""",
    "s": """precision_mode modify_mixlist op_precision_mode op_select_implmode optypelist_for_implmode customize_dtypes
        fusion_switch_file dump_path dump_step dump_mode dump_debug_mode dump_data dump_layer op_debug_config
        profiling_options auto_tune_mode aoe_mode work_path aoe_config_file dynamic_graph_execute_mode
        dynamic_inputs_shape_range input_shape dynamic_dims graph_memory_max_size variable_memory_max_size
        buffer_optimize enable_scope_fusion_passes stream_max_parallel_num in_out_pair local_device_list
        distribute_config HCCL_algorithm soc_config compress_weight_conf op_compiler_cache_mode op_compiler_cache_dir
        debug_dir graph_compiler_cache_dir variable_placement memory_optimization_policy device_type job
        es_cluster_config ac_parallel_enable""",
}
FIELD_OF = {key: field for field, keys in FIELDS.items() for key in keys.split()}
SINCE = {
    "precision_mode_v2": "r1.13", "modify_mixlist": "r1.5", "op_precision_mode": "r1.5", "customize_dtypes": "r1.9",
    "fusion_switch_file": "r1.2", "dump_data": "r1.10", "dump_layer": "r1.10", "op_debug_config": "r1.9",
    "aoe_mode": "r1.5", "aoe_config_file": "r1.11", "dynamic_graph_execute_mode": "r1.3", "distribute_config": "r1.3",
    "HCCL_algorithm": "r1.8", "soc_config": "r1.8", "graph_compiler_cache_dir": "r1.13", "variable_placement": "r1.12",
    "jit_compile": "r1.10", "es_cluster_config": "r1.13", "ac_parallel_enable": "r1.15",
}
PRECISION = """force_fp32 allow_fp32_to_fp16 force_fp16 must_keep_origin_dtype allow_mix_precision cube_fp16in_fp32out
    allow_mix_precision_fp16 allow_mix_precision_bf16 allow_fp32_to_bf16""".split()
PRECISION_V2 = "fp16 origin cube_fp16in_fp32out mixed_float16 mixed_bfloat16".split()
PROFILING_KEYS = set("""output storage_limit training_trace task_trace task_time ge_api hccl aicpu fp_point bp_point
    aic_metrics l2 msproftx runtime_api""".split())
FIRST_WINS = """precision_mode precision_mode_v2 profiling_mode profiling_options graph_run_mode op_debug_level
    enable_exception_dump modify_mixlist fusion_switch_file op_precision_mode aoe_mode soc_config op_wait_timeout
    op_execute_timeout hccl_timeout""".split()


def invalid(message):
    raise tf.errors.InvalidArgumentError(None, None, message)


def internal(message):
    raise tf.errors.InternalError(None, None, message)


def parameters(config):
    """{key: value} of the NpuOptimizer in a ConfigProto, None without one."""
    found = [one for one in config.graph_options.rewrite_options.custom_optimizers if one.name == "NpuOptimizer"]
    if len(found) > 1:
        raise FakeStrictError("NpuOptimizer is there %d times" % len(found))
    return {key: _value(key, value) for key, value in found[0].parameter_map.items()} if found else None


def _value(key, value):
    field = FIELD_OF.get(key)
    if key == "jit_compile":
        field = "s" if _control.since("r1.13") else "b"
    if key == "precision_mode_v2":
        field = "s"
    if field is None or not _control.since(SINCE.get(key, "r1.1")):
        raise FakeStrictError("unknown key %s in %s" % (key, _control.era))
    if value.WhichOneof("value") != field:
        raise FakeStrictError("%s is in field %s, not in %s" % (key, value.WhichOneof("value"), field))
    found = getattr(value, field)
    return found.decode() if field == "s" else found


def validate(config, options):
    """What a first run on the NPU does with a session's options."""
    rewriter = config.graph_options.rewrite_options
    if rewriter.remapping != RewriterConfig.OFF or rewriter.memory_optimization != RewriterConfig.OFF:
        raise FakeStrictError("remapping and memory_optimization must be RewriterConfig.OFF")
    if rewriter.disable_model_pruning:
        raise FakeStrictError("disable_model_pruning must stay off")
    for check in (_precision, _dump, _profiling, _loop, _tuning, _others, _first, _ranks):
        check(options)
    _control.record("validated", dict(options))


def _precision(options):
    mode, v2 = options.get("precision_mode"), options.get("precision_mode_v2")
    if mode is not None and mode not in PRECISION:
        invalid("'%s' is invalid, it should be one of the list:" % mode)
    if v2 is not None and v2 not in PRECISION_V2:
        invalid("'%s' is invalid, it should be one of the list:" % v2)
    if mode is not None and v2 is not None:
        internal("precision_mode and precision_mode_v2 are both set")
    if "modify_mixlist" in options:
        mixed = ["allow_mix_precision"]
        if _control.since("r1.13"):
            mixed += ["allow_mix_precision_fp16", "allow_mix_precision_bf16"]
        if mode not in mixed and v2 not in ("mixed_float16", "mixed_bfloat16"):
            internal("modify_mixlist needs mixed precision")
        with open(options["modify_mixlist"]) as file:
            json.load(file)
    implmode = options.get("op_select_implmode")
    good = ("high_precision", "high_performance", "high_precision_for_all", "high_performance_for_all")
    if "op_select_implmode" in options and implmode not in good:
        raise FakeNpuFatal("op_select_implmode " + implmode)
    if "optypelist_for_implmode" in options and not implmode:
        raise FakeNpuFatal("optypelist_for_implmode without op_select_implmode")


def _dump(options):
    if not options.get("enable_dump") and not options.get("enable_dump_debug"):
        return
    if options.get("enable_dump") and options.get("enable_dump_debug"):
        raise FakeStrictError("both dumps are on")
    path = options.get("dump_path")
    if not path:
        internal("if use dump function, dump_path must be set.")
    if not os.path.isdir(path) or not os.access(path, os.R_OK | os.W_OK):
        internal("dump_path %s is no folder that can be written" % path)
    step = options.get("dump_step", "")
    if step.count("|") >= 100:
        internal("dump_step has more than 100 items")
    for item in step.split("|") if step else ():
        ends = re.fullmatch(r"(\d+)(-(\d+))?", item)
        if not ends or (ends.group(3) and int(ends.group(1)) >= int(ends.group(3))):
            if _control.since("r1.13"):
                internal("dump_step " + step)
            raise FakeNpuFatal("dump_step " + step)
    if options.get("dump_mode", "output") not in ("input", "output", "all"):
        raise FakeNpuFatal("dump_mode " + options["dump_mode"])
    if options.get("dump_debug_mode", "all") not in ("aicore_overflow", "atomic_overflow", "all"):
        raise FakeNpuFatal("dump_debug_mode " + options["dump_debug_mode"])


def _profiling(options):
    given = options.get("profiling_options")
    if not options.get("profiling_mode"):
        return
    if given is None:
        if not _control.since("r1.8"):
            raise FakeNpuFatal("profiling_mode without profiling_options")
        return
    try:
        found = json.loads(given)
    except ValueError:
        raise FakeStrictError("profiling_options is no JSON: " + given)
    if not isinstance(found, dict) or set(found) - PROFILING_KEYS:
        raise FakeStrictError("profiling_options has unknown keys: " + given)
    for key in ("training_trace", "hccl", "aicpu", "l2", "msproftx", "runtime_api"):
        if found.get(key, "on") not in ("on", "off"):
            raise FakeStrictError("%s of profiling_options is %s" % (key, found[key]))
    for key in ("task_trace", "task_time", "ge_api"):
        if found.get(key, "on") not in ("on", "off", "l0", "l1"):
            raise FakeStrictError("%s of profiling_options is %s" % (key, found[key]))
    if found.get("task_trace", "off") != "off" and found.get("training_trace") != "on":
        raise FakeStrictError("task_trace needs training_trace")


def _loop(options):
    count = options.get("iterations_per_loop", 1)
    if count < 1:
        raise FakeNpuFatal("iterations_per_loop %d" % count)
    if count > 1 and options.get("mix_compile_mode"):
        raise FakeStrictError("iterations_per_loop with mix_compile_mode")
    if count > 1 and not options.get("enable_data_pre_proc"):
        raise FakeStrictError("iterations_per_loop without enable_data_pre_proc")


def _tuning(options):
    if "aoe_mode" in options and options["aoe_mode"] not in ("1", "2", "4", "mdat"):
        internal("aoe_mode " + options["aoe_mode"])
    if "work_path" in options and not os.path.isdir(options["work_path"]):
        raise FakeNpuFatal("work_path " + options["work_path"])


def _others(options):
    if options.get("graph_run_mode", 1) not in (0, 1):
        raise FakeNpuFatal("graph_run_mode")
    if options.get("session_device_id", 0) < 0:
        raise FakeNpuFatal("session_device_id")
    if not 0 <= options.get("enable_exception_dump", 2) <= 2:
        internal("enable_exception_dump")
    if options.get("buffer_optimize", "l2_optimize") not in ("l2_optimize", "off_optimize"):
        internal("buffer_optimize")
    if len({key in options for key in ("input_shape", "dynamic_dims", "dynamic_node_type")}) > 1:
        raise FakeNpuFatal("input_shape, dynamic_dims and dynamic_node_type must be set together")
    if not 0 <= options.get("local_rank_id", 0) <= 7:
        internal("local_rank_id")
    if options.get("variable_placement", "Host") not in ("Host", "Device"):
        internal("variable_placement")
    if _control.since("r1.13") and options.get("jit_compile", "auto") not in ("true", "false", "auto"):
        internal("jit_compile")
    if options.get("compress_weight_conf") and options.get("enable_compress_weight"):
        raise FakeNpuFatal("compress_weight_conf and enable_compress_weight")
    if options.get("dynamic_input"):
        raise FakeStrictError("dynamic shapes")


def _first(options):
    mine = {key: options.get(key) for key in FIRST_WINS}
    if _control.process_options is None:
        _control.process_options = mine
    different = sorted(key for key in mine if mine[key] != _control.process_options[key])
    if different:
        raise FakeStrictError("the first session of the process had other %s" % ", ".join(different))


def _ranks(options):
    environ = os.environ
    for name in ("ASCEND_DEVICE_ID", "DEVICE_ID"):
        if not environ.get(name, "0").isdigit():
            internal("%s is %s" % (name, environ[name]))
    if "RANK_SIZE" in environ and "CM_WORKER_SIZE" in environ:
        raise ValueError("RANK_SIZE and CM_WORKER_SIZE are both set")
    if _control.rank_size() <= 1:
        return
    with open(environ["RANK_TABLE_FILE"]) as file:
        table = json.load(file)
    devices = {one["rank_id"]: one["device_id"] for server in table["server_list"] for one in server["device"]}
    if len(devices) != _control.rank_size() or environ["RANK_ID"] not in devices:
        raise FakeStrictError("rank %s of %s is not in the rank table" % (environ["RANK_ID"], environ["RANK_SIZE"]))
    if environ.get("ASCEND_DEVICE_ID") != devices[environ["RANK_ID"]]:
        raise FakeStrictError("rank %s has another device in the rank table" % environ["RANK_ID"])
