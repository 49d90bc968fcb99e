"""The shape of the code: who may import whom, and what `kws --help` must not wait for."""
import ast
import importlib.util
import os
import re
import subprocess
import sys

import pytest

from kwscli import models

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kwscli")
# What everything stands on; these modules import nothing but one another.
BASE = "__init__ console errors files imports interrupts labels metrics recipes settings significance timing"
# One subcommand each. `bench` measures all other parts, so it may import all of them.
COMMANDS = "align bench doctor label label_check list_models listen record"
# {package or module: (what it may import, beside BASE and itself; its modules that need TensorFlow)}. "*" stands for
# every module. Imports inside of functions count too. Modules that are not in the last column start without TensorFlow.
ARROWS = {
    "sound": ("", ""),
    "data": ("sound", ""),
    "models": ("sound", "graph network quantization"),
    "devices": ("", "cpu device gpu npu npu_adapter optimizer session"),
    "runs": ("data devices models sound", "checkpoint"),
    "workers": ("devices", "collective"),
    "classifiers": ("data devices models pretrained runs sound toolchain", "checkpoint frozen_graph saved_model"),
    "training": (
        "classifiers data devices export models runs sound workers",
        "averages diagnostics folds loop losses starting_weights teachers tensorboard tensors training_graph "
        "training_session",
    ),
    "export": (
        "classifiers data detector devices models runs sound toolchain",
        "c_kit arena detector folded_graph frozen_graph layers model om onnx pb pb_features reference saved_model "
        "tables tflite tflite_file tflite_int8 tflite_waveform",
    ),
    "boards": ("", ""),
    "evaluation": ("classifiers data detector listening models runs sound workers", ""),
    "align": ("classifiers sound", ""),
    "words": ("classifiers data evaluation listening runs sound", ""),
    "record": ("data listening sound", ""),
    "label": ("classifiers data sound workers", ""),
    "label_check": ("classifiers data evaluation sound training", "label_check"),
    "list_models": ("boards models pretrained sound", ""),
    "model_card": ("pretrained sound", ""),
    "pretrained": ("", ""),
    "detector": ("", ""),
    "toolchain": ("", ""),
    "listening": ("classifiers sound", ""),
    "listen": ("detector listening sound", ""),
    "doctor": ("devices workers", ""),
    "guides": ("", ""),
    "bench": ("*", "*"),
    "model_speed": ("classifiers evaluation sound", ""),
    "script_flags": ("", ""),
    "flags": ("script_flags", ""),
    "cli": ("*", ""),
    "__main__": ("cli", ""),
}
# Imports TensorFlow only where no smaller package has an interpreter.
FALLBACK = ("classifiers.interpreter",)
# npu_bridge changes tf.Session when it is imported, so only functions of this module import it.
NPU_BRIDGE, CLICK = ("devices.npu_adapter",), ("cli", "flags")


def modules():
    """{dotted name below kwscli: its syntax tree}."""
    found = {}
    for folder, _, names in os.walk(PACKAGE):
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, PACKAGE)[:-3].replace(os.sep, ".")
                with open(path, encoding="utf-8") as file:
                    found[re.sub(r"\.__init__$", "", dotted)] = ast.parse(file.read(), path)
    return found


MODULES = modules()
ARCHITECTURES = ["models." + name for name in models.ARCHITECTURES]


def place(name):
    """The package of a module, or the module itself where it lies in none."""
    return name.split(".")[0]


def needs_tensorflow(name):
    """Whether the table says so."""
    heavy = ARROWS.get(place(name), ("", ""))[1].split()
    return "*" in heavy or name.rpartition(".")[2] in heavy


def imports(name):
    """(modules of this package, top-level names of other packages) that a module imports, wherever in its text."""
    is_package = os.path.isdir(os.path.join(PACKAGE, name.replace(".", os.sep)))
    package = name.split(".") if is_package else name.split(".")[:-1]
    own, others = set(), set()
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Import):
            others.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            others.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + ([node.module] if node.module else [])
            named = [".".join(base + [alias.name]) for alias in node.names]
            own.update(one if one in MODULES else ".".join(base) or "__init__" for one in named)
    return own, others


def test_nothing_calls_back_up():
    left = {name: imports(name)[0] for name in MODULES}
    while left:
        bottom = {name for name, own in left.items() if not own & set(left)}
        assert bottom, "these import one another in a circle: %s" % ", ".join(sorted(left))
        left = {name: own for name, own in left.items() if name not in bottom}


def test_every_module_has_its_place_in_the_table():
    assert {place(name) for name in MODULES} == set(BASE.split()) | set(ARROWS)


@pytest.mark.parametrize("name", MODULES)
def test_arrows_go_down(name):
    own = {place(one) for one in imports(name)[0]}
    allowed = ARROWS.get(place(name), ("", ""))[0].split()
    assert "*" in allowed or own <= {place(name), *BASE.split(), *allowed}
    if name in ARCHITECTURES:
        assert imports(name)[0] <= {"errors", "models", "models.shapes"}


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_where_they_belong(name):
    others = imports(name)[1]
    assert "tensorflow" not in others or needs_tensorflow(name) or name in FALLBACK
    assert "click" not in others or name in CLICK
    assert "npu_bridge" not in others or name in NPU_BRIDGE
    assert not others & {"keras", "tf_slim", "torch"}
    for node in ast.iter_child_nodes(MODULES[name]):  # outside of functions
        assert "npu_bridge" not in ast.dump(node) or not isinstance(node, (ast.Import, ast.ImportFrom, ast.Try, ast.If))


def test_tensorflow_is_used_through_the_interface_that_both_versions_have():
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and "tensorflow" in [alias.name.split(".")[0] for alias in node.names]:
                assert [(alias.name, alias.asname) for alias in node.names] == [("tensorflow.compat.v1", "tf")], name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tf":
                assert node.attr not in ("contrib", "layers", "keras"), name


def loaded_after(code, others=()):
    """Which large libraries, and which others, code imports in a fresh interpreter."""
    large = ("tensorflow", "numpy", "scipy", "soundfile", "matplotlib") + others
    code += "\nimport sys; print(*[name for name in %r if name in sys.modules])" % (large,)
    packages = os.pathsep.join([os.path.dirname(PACKAGE), os.environ.get("PYTHONPATH", "")])
    environ = dict(os.environ, PYTHONPATH=packages)
    return subprocess.check_output([sys.executable, "-c", code], env=environ).decode().splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["eval", "--help"]])
def test_help_waits_for_no_large_library(arguments):
    assert loaded_after("from kwscli import cli\ncli.cli(%r, standalone_mode=False)" % arguments) == []


def test_modules_that_do_not_need_tensorflow_start_without_it():
    light = [name for name in MODULES if not needs_tensorflow(name) and name not in ("__init__", "__main__")]
    assert "tensorflow" not in loaded_after("import " + ", ".join("kwscli." + name for name in light))


def test_the_settings_of_features_need_no_large_library():
    assert loaded_after("from kwscli.sound import feature_settings") == []


def test_prepare_needs_no_tensorflow(tmp_path):
    code = (
        "import os, numpy, soundfile\n"
        "os.makedirs('DIR/yes')\n"
        "soundfile.write('DIR/yes/a.wav', numpy.full(16000, 0.1), 16000)\n"
        "from kwscli import cli\n"
        "cli.cli(['prepare', '--data-path', 'DIR'], standalone_mode=False)"
    )
    assert "tensorflow" not in loaded_after(code.replace("DIR", str(tmp_path)))


@pytest.mark.skipif(
    not any(importlib.util.find_spec(name) for name in ("tflite_runtime", "ai_edge_litert")), reason="no interpreter"
)
def test_label_needs_no_slow_library(tmp_path):
    code = (
        "import numpy, soundfile\n"
        "soundfile.write('DIR/a.wav', numpy.full(44100, 0.1), 44100)\n"
        "from kwscli import cli\n"
        "cli.cli(['label', '--checkpoint', 'ds_cnn_s', 'DIR/a.wav'], standalone_mode=False)"
    )
    assert loaded_after(code.replace("DIR", str(tmp_path)), ("tqdm",)) == ["numpy", "soundfile"]


def test_only_devices_compare_kinds_of_devices():
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and place(name) != "devices":
                assert not re.search("'([ng]pu|cpu)'", ast.dump(node)), (name, node.lineno)


def test_only_mfcc_knows_its_coefficients():
    """Everything else asks the settings for the shape of the features."""
    known = {name for name in MODULES if "dct_coefficient_count" in ast.dump(MODULES[name])} - set(ARCHITECTURES)
    published = {"models", "recipes"}  # the features of published networks, and of recipes
    assert known == published | {
        "sound.mfcc", "sound.log_mel", "sound.feature_settings", "runs.description",
        "export.pb", "classifiers.frozen_graph", "script_flags",  # the Mfcc operation; the scripts' own flag
    }


def public_functions(node):
    """The functions, and the methods of classes, whose names have no leading underscore."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            yield child


@pytest.mark.parametrize("name", [name for name in MODULES if name != "cli"])  # click calls its functions with flags
def test_public_functions_have_types(name):
    for function in public_functions(MODULES[name]):
        arguments = [one for one in function.args.args + function.args.kwonlyargs if one.arg not in ("self", "cls")]
        untyped = [one.arg for one in arguments if one.annotation is None]
        assert not untyped and function.returns is not None, (function.name, untyped)
