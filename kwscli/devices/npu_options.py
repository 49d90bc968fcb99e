"""The options of npu_bridge (its `NpuOptimizer`), and their checks.

For some wrong values, npu_bridge aborts at the first step; it ignores unknown keys and wrong types. So kws checks
everything itself, before it opens a session. Names, types and releases are those in the source code of
github.com/Ascend/tensorflow (branches r1.1 to master, for TensorFlow 1.15). No NPU has run them yet.

A check takes what the user gave and returns the value for npu_bridge, or raises ValueError, which says what the value
must be.
"""
import difflib
import json
import os
import re
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Tuple

RELEASES = ("r1.1", "r1.2", "r1.3") + tuple("r1.%d" % minor for minor in range(5, 16)) + ("master",)
NEWEST = RELEASES[-1]

MIXED = ("allow_mix_precision", "allow_mix_precision_fp16", "allow_mix_precision_bf16")
MIXED_V2 = ("mixed_float16", "mixed_bfloat16")
PRECISION_MODES = MIXED + (
    "allow_fp32_to_fp16", "force_fp16", "must_keep_origin_dtype", "force_fp32", "cube_fp16in_fp32out",
    "allow_fp32_to_bf16",
)
OP_SELECT = tuple(mode + end for mode in ("high_precision", "high_performance") for end in ("", "_for_all"))
DUMP_MODES = "input", "output", "all"
AOE_MODES = "1", "2", "4", "mdat"


def nearest(word: Any, words: Iterable[str]) -> str:
    """A question that proposes the word most like this one; empty if no word is like it."""
    found = difflib.get_close_matches(str(word), list(words), 1)
    return "did you mean %s?" % found[0] if found else ""


def _with_nearest(message, word, words):
    return "; ".join(filter(None, [message, nearest(word, words)]))


def boolean(given: Any) -> bool:
    """True, False, 1 or 0."""
    found = {"true": True, "1": True, "false": False, "0": False}.get(str(given).lower())
    if found is None:
        raise ValueError("it must be True or False")
    return found


def integer(minimum: int = 0, maximum: int = 2 ** 63 - 1) -> Callable[[Any], int]:
    """A check for integers in a range."""

    def check(given):
        if not re.fullmatch(r"-?\d+", str(given)) or not minimum <= int(given) <= maximum:
            bounds = "that is at least %d" % minimum if maximum > 2 ** 62 else "from %d to %d" % (minimum, maximum)
            raise ValueError("it must be an integer " + bounds)
        return int(given)

    return check


def one_of(*choices: str) -> Callable[[Any], str]:
    """A check for one of some words."""

    def check(given):
        if given not in choices:
            raise ValueError(_with_nearest("it must be one of " + ", ".join(choices), given, choices))
        return given

    return check


def text(given: str) -> str:
    """Any text but the empty one."""
    if not given:
        raise ValueError("it must not be empty")
    return given


def byte_count(given: str) -> str:
    """A number or a product of numbers, such as 26 * 1024 * 1024 * 1024."""
    if not re.fullmatch(r"[1-9]\d*( *\* *[1-9]\d*)*", given):
        raise ValueError("it must be a number of bytes, such as 26*1024*1024*1024")
    return given


def file(given: str) -> str:
    """The absolute path of a readable file."""
    if not os.path.isfile(given) or not os.access(given, os.R_OK):
        raise ValueError("it must be a readable file")
    return os.path.abspath(given)


def folder(given: str) -> str:
    """The absolute path of a writable folder, which may not exist yet."""
    there = path = os.path.abspath(text(given))
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there) or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError("it must be a writable folder")
    return path


def json_object(given: str) -> Dict[str, Any]:
    """The value of a JSON object."""
    try:
        found = json.loads(given)
    except ValueError as error:
        raise ValueError("it must be JSON: %s" % error)
    except RecursionError:
        raise ValueError("it must be JSON with fewer levels")
    if not isinstance(found, dict):
        raise ValueError("it must be a JSON object: {...}")
    return found


def json_file(given: str) -> Tuple[str, Dict[str, Any]]:
    """A file with a JSON object -> (its absolute path, the object)."""
    with open(file(given), encoding="utf-8", errors="replace") as opened:
        found = json_object(opened.read())
    return os.path.abspath(given), found


def switches(given: str) -> str:
    """A JSON file that turns fusions on and off -> its path."""
    return json_file(given)[0]


def known_key(key: str, keys: Iterable[str]) -> None:
    """Refuse an unknown key of a JSON object."""
    if key not in keys:
        raise ValueError(_with_nearest('its key "%s" must be one of %s' % (key, ", ".join(keys)), key, keys))


def mixlist(given: str) -> str:
    """A JSON file that says which operators use float16, as {"black-list": {"to-add": ["ReduceSumD"]}, ...}."""
    path, lists = json_file(given)
    for name, edits in lists.items():
        known_key(name, ("black-list", "white-list", "gray-list"))
        if not isinstance(edits, dict) or not all(
            key in ("to-add", "to-remove") and isinstance(ops, list) and all(isinstance(op, str) for op in ops)
            for key, ops in edits.items()
        ):
            raise ValueError('its "%s" must be {"to-add": [operations], "to-remove": [operations]}' % name)
    return path


def dump_step(given: str) -> str:
    """Steps as npu_bridge reads them: 0|5|10-20."""
    dump_steps(given)
    return given


def dump_steps(given: str) -> List[Tuple[int, int]]:
    """0|5|10-20 -> [(first, last), ...], both included."""
    items = [re.fullmatch(r"(\d+)(?:-(\d+))?", item) for item in given.split("|")]
    if not all(items) or len(items) > 100:
        raise ValueError("it must be up to 100 steps or ranges, such as 0|5|10-20")
    ranges = [(int(item.group(1)), int(item.group(2) or item.group(1))) for item in items]
    for item, (first, last) in zip(items, ranges):
        if item.group(2) and first >= last:
            raise ValueError("the range %s must go up" % item.group())
    return ranges


def shape_ranges(given: str) -> str:
    """The shapes of fed inputs and of those from an iterator: data:[1~8,490];getnext:[1~4,98,10],[1~4]."""
    shape = r"\[\d+(~\d+)?(,\d+(~\d+)?)*\]"
    some = r"(data|getnext):%s(,%s)*" % (shape, shape)
    if not re.fullmatch("%s(;%s)?" % (some, some), given.replace(" ", "")):
        raise ValueError("it must be like data:[1~8,490];getnext:[1~8,490]")
    return given


_ON_OFF = one_of("on", "off")
_TASK = one_of("on", "off", "l0", "l1")
_METRICS = one_of("ArithmeticUtilization", "PipeUtilization", "Memory", "MemoryL0", "MemoryUB", "ResourceConflictRatio",
                  "L2Cache", "MemoryAccess")


def _string(given):
    if not isinstance(given, str):
        raise ValueError("it must be text")
    return given


def _path(given):
    return folder(_string(given))


_PROFILING = dict(
    dict.fromkeys(("training_trace", "hccl", "aicpu", "l2", "msproftx", "runtime_api", "ge_api"), _ON_OFF),
    output=_path, storage_limit=_string, task_trace=_TASK, task_time=_TASK, aic_metrics=_METRICS,
    fp_point=_string, bp_point=_string,
)


def profiling_options(given: str) -> str:
    """What --profiling measures: a JSON object with the keys above."""
    found = json_object(given)
    for key, value in found.items():
        known_key(key, sorted(_PROFILING))
        try:
            found[key] = _PROFILING[key](value)
        except ValueError as error:
            raise ValueError('its "%s" is %r; %s' % (key, value, error))
    if found.get("task_trace") not in (None, "off") and found.get("training_trace") == "off":
        raise ValueError('its "task_trace" needs "training_trace": "on"')
    return json.dumps(found)


PROCESS, SESSION = "process", "session"


class Option(NamedTuple):
    """One key of the parameter_map of npu_bridge's NpuOptimizer."""

    field: str  # of the protobuf message AttrValue: b, i or s
    check: Callable[[Any], Any]
    since: str = RELEASES[0]  # the first release that knows it
    scope: str = SESSION  # PROCESS: the first session of a process decides for all its sessions
    flag: str = ""  # the option of kws that sets it
    instead: str = ""  # what replaces it, if it is deprecated


def _many(names, field, check, since=RELEASES[0], scope=SESSION):
    return {name: Option(field, check, since, scope) for name in names.split()}


OPTIONS = {
    "use_off_line": Option("b", boolean, flag="--device"),
    "session_device_id": Option("i", integer(), flag="--device-id"),
    "precision_mode": Option("s", one_of(*PRECISION_MODES), scope=PROCESS, flag="--precision-mode"),
    "precision_mode_v2": Option("s", one_of("fp16", "origin", "cube_fp16in_fp32out", *MIXED_V2), "r1.13", PROCESS),
    "modify_mixlist": Option("s", mixlist, "r1.5", PROCESS, "--modify-mixlist"),
    "fusion_switch_file": Option("s", switches, "r1.2", PROCESS, "--fusion-switch-file"),
    "op_select_implmode": Option("s", one_of(*OP_SELECT), "r1.1", PROCESS, "--op-select-implmode", "op_precision_mode"),
    "optypelist_for_implmode": Option("s", text, scope=PROCESS, instead="op_precision_mode"),
    "op_precision_mode": Option("s", file, "r1.5", PROCESS),
    "customize_dtypes": Option("s", file, "r1.9", PROCESS),
    "iterations_per_loop": Option("i", integer(1), flag="--iterations-per-loop"),
    "enable_data_pre_proc": Option("b", boolean, flag="--iterations-per-loop"),
    "enable_dump": Option("b", boolean, flag="--data-dump-flag"),
    "enable_dump_debug": Option("b", boolean, flag="--over-dump"),
    "dump_path": Option("s", folder, flag="--data-save-path"),
    "dump_step": Option("s", dump_step, flag="--data-dump-step"),
    "dump_mode": Option("s", one_of(*DUMP_MODES), flag="--dump-mode"),
    "dump_debug_mode": Option("s", one_of("aicore_overflow", "atomic_overflow", "all")),
    "dump_data": Option("s", one_of("tensor", "stats"), "r1.10"),
    "dump_layer": Option("s", text, "r1.10"),
    "profiling_mode": Option("b", boolean, scope=PROCESS, flag="--profiling"),
    "profiling_options": Option("s", profiling_options, scope=PROCESS, flag="--profiling-options"),
    "aoe_mode": Option("s", one_of(*AOE_MODES), "r1.5", PROCESS, "--aoe-mode"),
    "work_path": Option("s", folder, "r1.5", PROCESS, "--work-path"),
    "aoe_config_file": Option("s", file, "r1.11", PROCESS),
    "auto_tune_mode": Option("s", text, scope=PROCESS, instead="--aoe-mode"),
    "enable_exception_dump": Option("i", integer(0, 2), scope=PROCESS),
    "op_debug_level": Option("i", integer(), scope=PROCESS),
    "op_debug_config": Option("s", file, "r1.9", PROCESS),
    "graph_run_mode": Option("i", integer(0, 1), scope=PROCESS),
    "mix_compile_mode": Option("b", boolean),
    "dynamic_input": Option("b", boolean, instead="the fixed shapes that kws always has"),
    "dynamic_graph_execute_mode": Option("s", one_of("lazy_recompile", "dynamic_execute"), "r1.3"),
    "dynamic_node_type": Option("i", integer(0, 1)),
    "buffer_optimize": Option("s", one_of("l2_optimize", "off_optimize")),
    "variable_format_optimize": Option("b", boolean, instead="nothing"),
    "local_rank_id": Option("i", integer(0, 7)),
    "distribute_config": Option("s", text, "r1.3", PROCESS),
    "HCCL_algorithm": Option("s", text, "r1.8", PROCESS),
    "soc_config": Option("s", text, "r1.8", PROCESS),
    "graph_compiler_cache_dir": Option("s", folder, "r1.13"),
    "variable_placement": Option("s", one_of("Host", "Device"), "r1.12"),
    "es_cluster_config": Option("s", file, "r1.13", PROCESS),
    "ac_parallel_enable": Option("s", text, "r1.15"),
    "jit_compile": Option("s", one_of("true", "false", "auto"), "r1.13"),
    **_many("hcom_parallel is_tailing_optimization lower_functional_ops in_out_pair_flag enable_compress_weight "
            "external_weight frozen_variable", "b", boolean),
    **_many("hcom_multi_mode", "b", boolean, scope=PROCESS),
    **_many("enable_small_channel static_memory_policy atomic_clean_policy topo_sorting_mode task_index deterministic",
            "i", integer()),
    **_many("hccl_timeout op_wait_timeout op_execute_timeout graph_exec_timeout stream_sync_timeout event_sync_timeout",
            "i", integer(1), scope=PROCESS),
    **_many("graph_memory_max_size variable_memory_max_size", "s", byte_count),
    "dynamic_inputs_shape_range": Option("s", shape_ranges),
    **_many("input_shape dynamic_dims in_out_pair local_device_list compress_weight_conf "
            "stream_max_parallel_num memory_optimization_policy job", "s", text),
    **_many("enable_scope_fusion_passes op_compiler_cache_mode op_compiler_cache_dir debug_dir device_type", "s", text,
            scope=PROCESS),
}
EXPERIMENTAL = Option("s", text)  # a key that begins with experimental_
# Keys that had another type in older releases.
BEFORE = {"jit_compile": Option("b", boolean, "r1.10")}
