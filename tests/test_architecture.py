"""The shape of the code: who may import whom, and what `kws --help` must not wait for."""
import ast
import os
import re
import subprocess
import sys

import pytest

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kwscli")
# What everything stands on: these use nothing but one another.
FOUNDATIONS = {
    "__init__", "errors", "files", "imports", "labels", "npu", "npu_options", "progress", "settings", "audio"
}
# The top: {module: those that may use it}. The benchmark is beside the commands and may use all.
TOP = {
    "__main__": (), "bench": ("cli",), "cli": ("__main__",), "plan": ("cli",), "prepare": ("cli", "plan"),
    "train": ("cli",), "label": ("cli",), "freeze": ("cli",), "describe": ("cli",), "machine": ("cli",),
}
# Those that start at once, without TensorFlow, whatever they import.
LIGHT = (
    "cli settings errors labels audio dataset augment features batches prepare plan run files imports archive progress "
    "download synthesize describe machine evaluate label classifier models models.costs models.shapes"
).split()


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
ARCHITECTURES = [name for name in MODULES if re.fullmatch(r"models\.(?!shapes|costs|graph)\w+", name)]


def imports(name):
    """(modules of this package, top-level names of other packages) that a module imports, wherever in its text."""
    package = name.split(".")[:-1] if name != "models" else ["models"]
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


@pytest.mark.parametrize("name", MODULES)
def test_arrows_go_down(name):
    own = imports(name)[0]
    if name in FOUNDATIONS:
        assert own <= FOUNDATIONS
    if name in ARCHITECTURES:
        assert own <= {"errors", "models", "models.shapes"}
    assert name == "bench" or [one for one in own if name not in TOP.get(one, (name,))] == []


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_where_they_belong(name):
    others = imports(name)[1]
    assert "click" not in others or name in ("cli", "bench")
    assert "npu_bridge" not in others or name == "session"
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


def loaded_after(code):
    """Which large libraries code imports in a fresh interpreter."""
    large = ("tensorflow", "numpy", "scipy", "soundfile", "matplotlib")
    code += "\nimport sys; print(*[name for name in %r if name in sys.modules])" % (large,)
    environ = dict(os.environ, PYTHONPATH=os.path.dirname(PACKAGE))
    return subprocess.check_output([sys.executable, "-c", code], env=environ).decode().splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["eval", "--help"]])
def test_help_waits_for_no_large_library(arguments):
    assert loaded_after("from kwscli import cli\ncli.cli(%r, standalone_mode=False)" % arguments) == []


def test_light_modules_are_light():
    assert "tensorflow" not in loaded_after("import " + ", ".join("kwscli." + name for name in LIGHT))


def test_prepare_needs_no_tensorflow(tmp_path):
    code = (
        "import os, numpy, soundfile\n"
        "os.makedirs('DIR/yes')\n"
        "soundfile.write('DIR/yes/a.wav', numpy.full(16000, 0.1), 16000)\n"
        "from kwscli import cli\n"
        "cli.cli(['prepare', '--data-path', 'DIR'], standalone_mode=False)"
    )
    assert "tensorflow" not in loaded_after(code.replace("DIR", str(tmp_path)))
