"""Options of the command line -> the options of an NPU's session, and every error in them. Without TensorFlow."""
import json
import os
import subprocess
import sys

import pytest

from kwscli.devices import npu_flags, npu_options
from kwscli.devices.device_settings import DeviceSettings
from kwscli.errors import KwsError

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def options(folder="data", release="master", environ=(), **flags):
    return npu_flags.options_of(DeviceSettings(**flags), str(folder), release, dict(environ))


def test_a_training_without_flags_runs_in_mixed_precision():
    assert options() == {"use_off_line": ("b", True), "precision_mode": ("s", "allow_mix_precision")}


def test_every_option_has_its_keys(tmp_path):
    lists, switches = tmp_path / "lists.json", tmp_path / "switches.json"
    lists.write_text('{"black-list": {"to-add": ["ReduceSumD"], "to-remove": []}}')
    switches.write_text("{}")
    assert options(
        tmp_path, device_id=3, iterations_per_loop=20, data_dump_flag=True, data_dump_step="0|5|10-20", dump_mode="all",
        modify_mixlist=str(lists), fusion_switch_file=str(switches), op_select_implmode="high_precision", aoe_mode="2",
    ) == {
        "use_off_line": ("b", True), "session_device_id": ("i", 3), "precision_mode": ("s", "allow_mix_precision"),
        "iterations_per_loop": ("i", 20), "enable_data_pre_proc": ("b", True), "enable_dump": ("b", True),
        "dump_path": ("s", str(tmp_path)), "dump_step": ("s", "0|5|10-20"), "dump_mode": ("s", "all"),
        "modify_mixlist": ("s", str(lists)), "fusion_switch_file": ("s", str(switches)),
        "op_select_implmode": ("s", "high_precision"), "aoe_mode": ("s", "2"), "work_path": ("s", str(tmp_path)),
    }
    over = options(tmp_path, over_dump=True, work_path=str(tmp_path / "new"), aoe_mode="1")
    assert over["enable_dump_debug"] == ("b", True) and over["dump_debug_mode"] == ("s", "all")
    assert over["dump_path"] == ("s", str(tmp_path)) and over["work_path"] == ("s", str(tmp_path / "new"))


def test_profiling_uses_its_options_and_the_data_folder(tmp_path):
    field, text = options(tmp_path, profiling=True)["profiling_options"]
    assert field == "s" and json.loads(text)["task_trace"] == "on" and json.loads(text)["output"] == str(tmp_path)
    found = options(tmp_path, profiling=True, profiling_options='{"training_trace": "on", "fp_point": ""}')
    assert json.loads(found["profiling_options"][1]) == dict(npu_flags.PROFILING, output=str(tmp_path), fp_point="")
    elsewhere = options(tmp_path, profiling=True, profiling_options='{"output": "prof"}')["profiling_options"][1]
    assert json.loads(elsewhere) == dict(npu_flags.PROFILING, output=os.path.abspath("prof"))
    untraced = options(tmp_path, profiling=True, profiling_options='{"training_trace": "off"}')["profiling_options"][1]
    assert json.loads(untraced)["task_trace"] == "off"
    assert found["profiling_mode"] == ("b", True)


@pytest.mark.parametrize("given, field, value", [
    ("graph_run_mode=0", "i", 0), ("hcom_parallel=False", "b", False), ("hcom_parallel=1", "b", True),
    ("jit_compile=auto", "s", "auto"), ("graph_memory_max_size=26*1024*1024*1024", "s", "26*1024*1024*1024"),
    ("precision_mode_v2=mixed_float16", "s", "mixed_float16"), ("buffer_optimize=off_optimize", "s", "off_optimize"),
])
def test_an_npu_option_has_the_type_of_its_key(given, field, value):
    assert options(npu_option=(given,))[given.partition("=")[0]] == (field, value)


def test_the_value_of_an_option_can_have_commas():
    assert options(op_select_implmode="high_precision", npu_option=("optypelist_for_implmode=Pooling,SoftmaxV2",))[
        "optypelist_for_implmode"
    ] == ("s", "Pooling,SoftmaxV2")


def test_the_table_is_complete():
    for key, option in npu_options.OPTIONS.items():
        assert option.field in "bis" and option.since in npu_options.RELEASES, key
        assert option.scope in (npu_options.PROCESS, npu_options.SESSION), key
        assert not option.flag or hasattr(DeviceSettings(), option.flag[2:].replace("-", "_")), key


@pytest.mark.parametrize("flags, says", [
    ({"npu_option": ("enable_auto_mix_precision=1",)}, "there is no NPU option enable_auto_mix_precision"),
    ({"npu_option": ("sump_mode=all",)}, "there is no NPU option sump_mode; did you mean dump_mode?"),
    ({"npu_option": ("min_group_size=1",)}, "there is no NPU option min_group_size"),
    ({"npu_option": ("graph_run_mode",)}, "--npu-option is 'graph_run_mode'; it must be KEY=VALUE"),
    ({"npu_option": ("graph_run_mode=1", "graph_run_mode=0")},
     "--npu-option graph_run_mode is given twice; give it once"),
    ({"npu_option": ("graph_run_mode=2",)}, "--npu-option graph_run_mode is '2'; it must be an integer from 0 to 1"),
    ({"npu_option": ("op_debug_level=on",)},
     "--npu-option op_debug_level is 'on'; it must be an integer that is at least 0"),
    ({"npu_option": ("hcom_parallel=maybe",)}, "--npu-option hcom_parallel is 'maybe'; it must be True or False"),
    ({"npu_option": ("precision_mode=force_fp16",)},
     "--npu-option precision_mode has an option of its own; use --precision-mode"),
    ({"npu_option": ("use_off_line=0",)}, "--npu-option use_off_line has an option of its own; use --device"),
    ({"npu_option": ("enable_dump=1",)}, "--npu-option enable_dump has an option of its own; use --data-dump-flag"),
    ({"npu_option": ("precision_mode_v2=mixed_fp16",)},
     "--npu-option precision_mode_v2 is 'mixed_fp16'; it must be one of fp16, origin, cube_fp16in_fp32out, "
     "mixed_float16, mixed_bfloat16; did you mean mixed_float16?"),
    ({"npu_option": ("graph_memory_max_size=31GB",)},
     "--npu-option graph_memory_max_size is '31GB'; it must be a number of bytes, such as 26*1024*1024*1024"),
    ({"npu_option": ("stream_max_parallel_num=",)},
     "--npu-option stream_max_parallel_num is ''; it must not be empty"),
    ({"npu_option": ("op_precision_mode=none.ini",)},
     "--npu-option op_precision_mode is 'none.ini'; it must be a readable file"),
    ({"precision_mode": "force_fp16", "npu_option": ("precision_mode_v2=fp16",)},
     "--precision-mode and --npu-option precision_mode_v2 both choose the precision; give one of them"),
    ({"npu_option": ("optypelist_for_implmode=Pooling",)},
     "has no effect without --op-select-implmode; give both"),
    ({"iterations_per_loop": 2, "npu_option": ("mix_compile_mode=True",)}, "mix_compile_mode exclude each other"),
    ({"iterations_per_loop": 2, "npu_option": ("dynamic_input=True",)}, "dynamic_input exclude each other"),
    ({"data_dump_flag": True, "over_dump": True},
     "an NPU cannot use --data-dump-flag and --over-dump at the same time; give one of them"),
    ({"work_path": "."}, "give --aoe-mode too"),
    ({"npu_option": ("dump_layer=conv",)}, "have no effect without --data-dump-flag"),
    ({"npu_option": ("dump_debug_mode=all",)}, "has no effect without --over-dump"),
    ({"npu_option": ("dynamic_dims=1;2",)}, "depend on one another; give all three of them, or leave all out"),
    ({"npu_option": ("dynamic_graph_execute_mode=lazy_recompile",)},
     "has no effect without dynamic_input=True; give both"),
    ({"npu_option": ("dynamic_inputs_shape_range=data:[1]",)},
     "has no effect without dynamic_graph_execute_mode=dynamic_execute"),
    ({"npu_option": ("compress_weight_conf=a", "enable_compress_weight=1")},
     "enable_compress_weight exclude each other"),
    ({"npu_option": ("in_out_pair=a",)}, "have no effect without mix_compile_mode=True"),
    ({"modify_mixlist": "none.json"}, "--modify-mixlist is 'none.json'; it must be a readable file"),
    ({"aoe_mode": "3"}, "--aoe-mode is '3'; it must be one of 1, 2, 4, mdat"),
    ({"data_dump_step": "1,2"}, "--data-dump-step is '1,2'; it must be up to 100 steps or ranges, such as 0|5|10-20"),
    ({"data_dump_step": "20-10"}, "--data-dump-step is '20-10'; the range 20-10 must go up"),
    ({"data_dump_step": "|".join("7" * 101)}, "it must be up to 100 steps or ranges"),
    ({"loss_scale": "big"}, "--loss-scale is 'big'; it must be dynamic, none or a number that is at least 1"),
    ({"loss_scale": "0.5"}, "--loss-scale is '0.5'; it must be dynamic, none or a number that is at least 1"),
    ({"loss_scale": "nan"}, "--loss-scale is 'nan'; it must be dynamic, none or a number that is at least 1"),
    ({"profiling_options": "{}"}, "--profiling-options has no effect without --profiling; give --profiling too"),
    ({"profiling": True, "profiling_options": "on"}, "--profiling-options is 'on'; it must be JSON"),
    ({"profiling": True, "profiling_options": "[]"}, "it must be a JSON object: {...}"),
    ({"profiling": True, "profiling_options": '{"trainning_trace": "on"}'}, "did you mean training_trace?"),
    ({"profiling": True, "profiling_options": '{"aicpu": true}'}, 'its "aicpu" is True; it must be one of on, off'),
    ({"profiling": True, "profiling_options": '{"task_trace": "on", "training_trace": "off"}'},
     'its "task_trace" needs "training_trace": "on"'),
    ({"profiling": True, "profiling_options": '{"fp_point": 5}'}, 'its "fp_point" is 5; it must be text'),
    ({"profiling": True, "profiling_options": '{"fp_pont": ""}'}, 'its key "fp_pont" must be one of aic_metrics, '),
    ({"loss_scale": "1e39"}, "it must be dynamic, none or a number that is at least 1 and below 2^128"),
])
def test_an_error_is_one_line(flags, says):
    with pytest.raises(KwsError) as error:
        options(**flags)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content, says", [
    ("{", "it must be JSON"), ("[]", "it must be a JSON object"),
    ("[" * 100000, "it must be JSON with fewer levels"),
    ('{"blacklist": {}}', "did you mean black-list?"), ('{"black-list": ["Conv2D"]}', '"to-add": [operations]'),
    ('{"gray-list": {"to-add": [1]}}', '"to-add": [operations]'),
])
def test_a_mixlist_is_read_before_it_is_used(tmp_path, content, says):
    path = tmp_path / "lists.json"
    path.write_text(content)
    with pytest.raises(KwsError, match="--modify-mixlist") as error:
        options(modify_mixlist=str(path))
    assert says in str(error.value)


def test_a_mixlist_needs_mixed_precision(tmp_path):
    path = tmp_path / "lists.json"
    path.write_text("{}")
    with pytest.raises(KwsError, match="which is off; use --precision-mode allow_mix_precision"):
        options(modify_mixlist=str(path), precision_mode="force_fp16")
    assert options(modify_mixlist=str(path), npu_option=("precision_mode_v2=mixed_float16",))["modify_mixlist"]
    with pytest.raises(KwsError, match="npu_bridge up to r1.12 uses --modify-mixlist only with --precision-mode"):
        options(release="r1.12", modify_mixlist=str(path), precision_mode="allow_mix_precision_fp16")


def test_the_folder_for_dumps_must_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KwsError, match="--data-save-path is .*; it must be a writable folder"):
        options(tmp_path / "file" / "data", over_dump=True)
    assert options(tmp_path / "new" / "data", over_dump=True)["dump_path"] == ("s", str(tmp_path / "new" / "data"))


def test_a_release_knows_its_options_only():
    assert options(release="r1.10", npu_option=("jit_compile=True",))["jit_compile"] == ("b", True)
    for release, given, says in [
        ("r1.12", "precision_mode_v2=fp16",
         "the NPU option precision_mode_v2 needs npu_bridge r1.13 or newer, but this one is r1.12"),
        ("r1.8", "jit_compile=True", "but this one is r1.8 or older; leave it out"),
        ("r1.12", "jit_compile=auto", "--npu-option jit_compile is 'auto'; it must be True or False"),
    ]:
        with pytest.raises(KwsError) as error:
            options(release=release, npu_option=(given,))
        assert says in str(error.value)


def test_the_environment_describes_the_workers_once():
    assert options(environ={"RANK_SIZE": "8", "RANK_TABLE_FILE": "t", "RANK_ID": "0"})
    for one, other in (("CM_WORKER_SIZE", "RANK_SIZE"), ("CM_CHIEF_IP", "RANK_TABLE_FILE")):
        with pytest.raises(KwsError, match=r"\$%s and \$%s both describe the workers; unset one" % (one, other)):
            options(environ={one: "8", other: "8"})


@pytest.mark.parametrize("flags, scale", [
    ({}, "dynamic"), ({"precision_mode": "allow_fp32_to_fp16"}, "dynamic"),
    ({"precision_mode": "force_fp16"}, "dynamic"),
    ({"precision_mode": "must_keep_origin_dtype"}, None), ({"precision_mode": "allow_mix_precision_bf16"}, None),
    ({"npu_option": ("precision_mode_v2=mixed_float16",)}, "dynamic"),
    ({"npu_option": ("precision_mode_v2=origin",)}, None),
    ({"loss_scale": "none"}, None), ({"loss_scale": "128"}, 128.0),
    ({"loss_scale": "dynamic", "precision_mode": "force_fp32"}, "dynamic"),
])
def test_float16_gradients_have_a_loss_scale(flags, scale):
    assert npu_flags.loss_scale_of(DeviceSettings(**flags)) == scale


def test_the_device_number():
    environ = {"ASCEND_DEVICE_ID": "5", "DEVICE_ID": "6"}
    assert npu_flags.device_number(3, environ) == 3 and npu_flags.device_number(None, environ) == 5
    assert npu_flags.device_number(None, {"DEVICE_ID": "6"}) == 6 and npu_flags.device_number(None, {}) == 0
    assert npu_flags.device_number(0, environ) == 0
    with pytest.raises(KwsError, match=r"\$DEVICE_ID is '-1'; it must be the number of a device"):
        npu_flags.device_number(None, {"DEVICE_ID": "-1"})


def test_deprecated_options_are_reported():
    found = options(npu_option=("auto_tune_mode=RL,GA",))
    doubts = list(npu_flags.doubts(found, npu_flags.NEWEST))
    assert doubts == ["The NPU option auto_tune_mode is deprecated; use --aoe-mode."]


def test_an_option_that_the_release_may_lack_is_reported(tmp_path):
    found = npu_flags.options_of(DeviceSettings(aoe_mode="1"), str(tmp_path), "r1.5")
    assert list(npu_flags.doubts(found, "r1.5")) == []
    said, *more = npu_flags.doubts(found, "r1.3")
    assert said.endswith("npu_bridge r1.5, and this one may be as old as r1.3, where it has no effect.") and more
    assert said.startswith("--aoe-mode needs")


def test_experimental_options_are_passed_on():
    assert options(npu_option=("experimental_accelerate_train_mode=fast",))["experimental_accelerate_train_mode"] == (
        "s", "fast"
    )


@pytest.mark.parametrize("given", ["data:[1~8,490];getnext:[1,98,10],[4]", "getnext:[1~4]", "data: [1, 2]"])
def test_ranges_of_shapes(given):
    assert npu_options.shape_ranges(given) == given


@pytest.mark.parametrize("given", ["garbage", "[1,2]", "data:", "data:[1~]", "data:[a]", "data:[1];other:[2]"])
def test_wrong_ranges_of_shapes(given):
    with pytest.raises(ValueError, match="it must be like data:"):
        npu_options.shape_ranges(given)


def test_aoe_mode_in_the_environment_is_checked(tmp_path):
    with pytest.raises(KwsError, match=r"\$AOE_MODE is '3'; it must be one of 1, 2, 4, mdat"):
        npu_flags.options_of(DeviceSettings(), str(tmp_path), environ={"AOE_MODE": "3"})
    assert "aoe_mode" not in npu_flags.options_of(DeviceSettings(), str(tmp_path), environ={"AOE_MODE": "2"})


def test_options_of_the_process():
    assert set(npu_flags.process_options(options(device_id=1))) == {"precision_mode"}


def test_the_checks_need_no_tensorflow():
    code = "import sys, kwscli.devices.npu_flags, kwscli.settings; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code], cwd=HOME) == 0
