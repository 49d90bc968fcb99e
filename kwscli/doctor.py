"""`kws doctor`: what this machine has, what it lacks, and what to do about it."""
import glob
import importlib
import importlib.util
import os
import platform
import shutil
import textwrap
from typing import Any, Callable, List, NamedTuple

from . import __version__, console, imports
from .devices import npu_flags
from .devices.device_settings import DeviceSettings
from .errors import KwsError
from .workers import cluster, cores, rank_table

OK, MISSING, WRONG, NOTE = "ok", "missing", "wrong", "note"
FAILURES = MISSING, WRONG
GIB = 1 << 30
SPEECH_COMMANDS_GIB = 10  # version 0.02: the archive, its files, and the prepared data
VARIABLES = ["ASCEND_OPP_PATH"] + npu_flags.VARIABLES


class Finding(NamedTuple):
    """One line of the page.

    state: ok; missing: kws needs it; wrong: it is there, but does not work; note: kws works without it.
    """

    name: str
    state: str
    value: str
    advice: str = ""


def examine(data_path: str = "data") -> List[Finding]:
    """Examine this machine. If npu_bridge is installed, this imports it, which changes the process for good."""
    found = [Finding("kws", OK, __version__), Finding("Python", OK, platform.python_version())]
    found += _tensorflow()
    found += _environment(with_npu=any(one.name == "npu_bridge" and one.state != NOTE for one in found))
    found += _packages()
    found += [_disk("disk here", os.curdir), _disk("disk of the data", data_path), _cores(), _memory()]
    return found


def page(findings: List[Finding]) -> str:
    """The findings as a table, each advice below its line."""
    rows = []
    for one in findings:
        rows.append((one.name, one.state, one.value))
        if one.advice:
            rows.append(("", "", "-> " + one.advice))
    return console.table(rows)


def _why(error):
    return textwrap.shorten("%s: %s" % (type(error).__name__, error), 300)


def _refused(name, error):
    return Finding(name, WRONG, error.problem, error.advice)


def _package(
    name: str, module: str, absent: str, advice: str, look: Callable[[Any], str] = lambda module: module.__version__
) -> Finding:
    """The state of a package. absent: the state if it is not installed. look: what to show of its module."""
    if importlib.util.find_spec(module) is None:
        return Finding(name, absent, "not installed", advice)
    try:
        with imports.guarded():
            found = importlib.import_module(module)
        return Finding(name, OK, look(found))
    except Exception as error:  # an installation can be broken in many ways
        return Finding(name, WRONG, _why(error), advice)


def _tensorflow():
    """TensorFlow, the device that it would train on, npu_bridge, GPUs."""
    tensorflow = _package("TensorFlow", "tensorflow", MISSING, "install kws again together with it: pip install .")
    if tensorflow.state != OK:
        return [tensorflow]
    from .devices import choose, gpu, npu_adapter

    npu_bridge = _npu_bridge(npu_adapter.find())
    try:
        chosen = choose.choose(DeviceSettings())
        device = Finding("device", OK, "%s: %s" % (chosen.name, chosen.why))
    except KwsError as error:
        device = _refused("device", error)
    return [tensorflow, device, npu_bridge, _gpu(len(gpu.gpus()), tensorflow.value)]


def _npu_bridge(adapter):
    if adapter.state == "present":
        return Finding("npu_bridge", OK, "imports; release %s" % (
            adapter.release if adapter.release == adapter.oldest else "%s to %s" % (adapter.oldest, adapter.release)
        ))
    if adapter.state == "broken":
        return Finding("npu_bridge", WRONG, adapter.reason,
                       "source CANN's set_env.sh, and add its tfplugin to PYTHONPATH")
    return Finding("npu_bridge", NOTE, "absent", "an Ascend NPU needs it; install CANN's tfplugin, not a pip package")


def _gpu(count, release):
    """The GPUs that this release of TensorFlow sees, else those that the driver shows."""
    if count:
        return Finding("GPU", OK, "%d" % count)
    cards = sorted(glob.glob("/dev/nvidia[0-9]*"))
    if release.startswith("1."):
        advice = "an NVIDIA GPU needs its driver, and CUDA 10.0 and cuDNN 7 on LD_LIBRARY_PATH"
    else:
        advice = 'an NVIDIA GPU needs its driver, and CUDA: pip install "tensorflow[and-cuda]==%s"' % release
    return Finding("GPU", NOTE, "TensorFlow sees none" + (" of " + ", ".join(cards) if cards else ""), advice)


def _environment(with_npu):
    """The Ascend devices, and the variables that CANN and the start of a training set."""
    nodes = sorted(glob.glob("/dev/davinci[0-9]*"))
    found = [Finding("Ascend devices", OK, ", ".join(nodes)) if nodes else Finding(
        "Ascend devices", MISSING if with_npu else NOTE, "no /dev/davinci*",
        "install the driver; in a container, pass the devices to it" if with_npu else "",
    )]
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        found.append(Finding("Ascend devices", WRONG, "no permission to use " + ", ".join(closed),
                             "add this user to the group that owns them, usually HwHiAiUser"))
    values = ["%s=%s" % (name, os.environ[name]) for name in VARIABLES if os.environ.get(name)]
    if values or with_npu:
        found.append(Finding("CANN variables", OK, " ".join(values) or "none is set"))
    return found + list(_contradictions()) + (list(_unset()) if with_npu else []) + list(_rank_table())


def _contradictions():
    """Variables that contradict each other or have impossible values."""
    checks = [
        ("CANN variables", npu_flags.device_number),
        ("CANN variables", lambda: npu_flags.options_of(DeviceSettings(), os.curdir)),
    ]
    if not cluster.table_to_start():
        checks.append(("workers", cluster.of))
    for name, check in checks:
        try:
            check()
        except KwsError as error:
            yield _refused(name, error)


def _unset():
    """Variables that a training on an NPU needs, but that are not set."""
    if not os.environ.get("ASCEND_OPP_PATH"):
        yield Finding("ASCEND_OPP_PATH", MISSING, "unset", "source CANN's set_env.sh")
    if "ascend" not in os.environ.get("LD_LIBRARY_PATH", "").lower():
        yield Finding("LD_LIBRARY_PATH", NOTE, "has no folder of Ascend's", "source CANN's set_env.sh")
    if not os.environ.get("JOB_ID"):
        several = os.environ.get("RANK_SIZE", "1") != "1"
        yield Finding("JOB_ID", MISSING if several else NOTE, "unset", "needed for several NPUs: export JOB_ID=10087")


def _rank_table():
    """Whether $RANK_TABLE_FILE can be read, and has as many devices as $RANK_SIZE says."""
    path = os.environ.get("RANK_TABLE_FILE")
    if not path:
        return
    try:
        count = len(rank_table.read(path))
    except KwsError as error:
        yield _refused("rank table", error)
        return
    size = os.environ.get("RANK_SIZE") or str(count)
    if size == "1" and cluster.table_to_start():
        size = str(count)  # `kws train --workers` needs only the table
    if str(count) == size:
        yield Finding("rank table", OK, "%s: %d devices" % (path, count))
    else:
        yield Finding("rank table", WRONG, "%s: %d devices, but RANK_SIZE is %s" % (path, count, size),
                      "export RANK_SIZE=%d, or correct the table" % count)


def _packages():
    """The packages that kws uses besides TensorFlow."""
    yield _package("soundfile", "soundfile", MISSING, "pip install --force-reinstall soundfile",
                   lambda soundfile: "%s with %s" % (soundfile.__version__, soundfile.__libsndfile_version__))
    tflite = [name for name in ("tflite_runtime", "ai_edge_litert", "tensorflow") if importlib.util.find_spec(name)]
    yield Finding("TFLite", OK, "in " + tflite[0]) if tflite else Finding(
        "TFLite", NOTE, "no interpreter", "pip install tflite-runtime, or ai-edge-litert for newer versions of Python"
    )
    yield _package("espeak-ng", "espeakng_loader", NOTE, 'for prepare --synthesize: pip install "kwscli[synthesis]"',
                   lambda loader: loader.get_data_path())
    yield _package("onnxruntime", "onnxruntime", NOTE, 'for freeze --format onnx: pip install "kwscli[onnx]"')
    yield _package("matplotlib", "matplotlib", NOTE, 'for images in TensorBoard: pip install "kwscli[plots]"')


def _disk(name, path):
    """The free space where a path is, or will be."""
    there = os.path.abspath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free = shutil.disk_usage(there).free / GIB
    value = "%.1f GiB free in %s" % (free, there)
    if not os.access(there, os.W_OK):
        return Finding(name, NOTE, value + ", which is not writable", "work in another folder")
    if free < SPEECH_COMMANDS_GIB:
        return Finding(name, NOTE, value, "all of Speech Commands takes %d GiB" % SPEECH_COMMANDS_GIB)
    return Finding(name, OK, value)


def _cores():
    return Finding("cores", OK, "%d of %s %s" % (len(cores.usable()), os.cpu_count(), platform.machine()))


def _memory():
    try:
        page_size, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system has these names
        page_size = pages = -1  # which is also what sysconf returns for a value that it does not know
    if min(page_size, pages) < 0:
        return Finding("memory", NOTE, "unknown", "this system does not report it; use its own tools")
    return Finding("memory", OK, "%.1f GiB" % (page_size * pages / GIB))
