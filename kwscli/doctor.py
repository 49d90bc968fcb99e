"""`kws doctor`: what this machine has, and what to do about what it lacks."""
import glob
import importlib
import importlib.util
import os
import platform
import shutil
import textwrap
from typing import NamedTuple

from . import __version__, imports
from .devices import npu_flags
from .devices.device_settings import DeviceSettings
from .errors import KwsError
from .workers import cluster, rank_table

OK, MISSING, WRONG, NOTE = "ok", "missing", "wrong", "note"
FAILURES = MISSING, WRONG
GIB = 1 << 30
SPEECH_COMMANDS_GIB = 10  # v0.02: the archive, what is in it, and the same samples packed
VARIABLES = ["ASCEND_OPP_PATH"] + npu_flags.VARIABLES


class Finding(NamedTuple):
    """One line of the page."""

    name: str
    state: str  # ok; missing: kws needs it; wrong: there, but not as it must be; note: kws can do without
    value: str
    advice: str = ""


def examine(data_path="data"):
    """-> [Finding]. Imports npu_bridge where there is one, which cannot be undone in this process."""
    found = [Finding("kws", OK, __version__), Finding("Python", OK, platform.python_version())]
    found += _tensorflow()
    found += _environment(with_npu=any(one.name == "npu_bridge" and one.state != NOTE for one in found))
    found += _packages()
    found += [_disk("disk here", os.curdir), _disk("disk of the data", data_path), _cores(), _memory()]
    return found


def page(findings):
    """The findings for a person."""
    width = max(len(one.name) for one in findings)
    lines = []
    for one in findings:
        lines.append("%-*s  %-7s  %s" % (width, one.name, one.state, one.value))
        if one.advice:
            lines.append("%*s-> %s" % (width + 11, "", one.advice))
    return "\n".join(lines)


def _why(error):
    return textwrap.shorten("%s: %s" % (type(error).__name__, error), 300)


def _refused(name, error):
    """A KwsError says what is wrong, then what to do."""
    value, _, advice = str(error).rpartition("; ")
    return Finding(name, WRONG, value, advice)


def _package(name, module, absent, advice, look=lambda module: module.__version__):
    if importlib.util.find_spec(module) is None:
        return Finding(name, absent, "not installed", advice)
    try:
        with imports.guarded():
            found = importlib.import_module(module)
        return Finding(name, OK, look(found))
    except Exception as error:  # an installation breaks in many ways
        return Finding(name, WRONG, _why(error), advice)


def _tensorflow():
    """TensorFlow, the device it would train on, npu_bridge, GPUs."""
    tensorflow = _package("TensorFlow", "tensorflow", MISSING, "install kws again, which brings it: pip install .")
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
                       "source CANN's set_env.sh, and have its tfplugin on PYTHONPATH")
    return Finding("npu_bridge", NOTE, "absent", "an Ascend NPU needs it; it comes with CANN's tfplugin, not from pip")


def _gpu(count, release):
    """GPUs that a release of TensorFlow sees, and those that the driver shows and it does not."""
    if count:
        return Finding("GPU", OK, "%d" % count)
    cards = sorted(glob.glob("/dev/nvidia[0-9]*"))
    if release.startswith("1."):
        advice = "an NVIDIA GPU needs its driver, and CUDA 10.0 and cuDNN 7 on LD_LIBRARY_PATH"
    else:
        advice = 'an NVIDIA GPU needs its driver, and CUDA: pip install "tensorflow[and-cuda]==%s"' % release
    return Finding("GPU", NOTE, "TensorFlow sees none" + (" of " + ", ".join(cards) if cards else ""), advice)


def _environment(with_npu):
    """What CANN sets, and the devices it drives."""
    nodes = sorted(glob.glob("/dev/davinci[0-9]*"))
    found = [Finding("Ascend devices", OK, ", ".join(nodes)) if nodes else Finding(
        "Ascend devices", MISSING if with_npu else NOTE, "no /dev/davinci*",
        "install the driver; in a container, pass the devices in" if with_npu else "",
    )]
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        found.append(Finding("Ascend devices", WRONG, "no right to use " + ", ".join(closed),
                             "add this user to the group that owns them, as a rule HwHiAiUser"))
    values = ["%s=%s" % (name, os.environ[name]) for name in VARIABLES if os.environ.get(name)]
    if values or with_npu:
        found.append(Finding("CANN variables", OK, " ".join(values) or "none is set"))
    return found + list(_contradictions()) + (list(_unset()) if with_npu else []) + list(_rank_table())


def _contradictions():
    """Variables that cannot be as they are."""
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
    """Variables that an NPU's training wants."""
    if not os.environ.get("ASCEND_OPP_PATH"):
        yield Finding("ASCEND_OPP_PATH", MISSING, "unset", "source CANN's set_env.sh")
    if "ascend" not in os.environ.get("LD_LIBRARY_PATH", "").lower():
        yield Finding("LD_LIBRARY_PATH", NOTE, "names no folder of Ascend's", "source CANN's set_env.sh")
    if not os.environ.get("JOB_ID"):
        several = os.environ.get("RANK_SIZE", "1") != "1"
        yield Finding("JOB_ID", MISSING if several else NOTE, "unset", "several NPUs need it: export JOB_ID=10087")


def _rank_table():
    """Whether $RANK_TABLE_FILE is one, and has as many devices as $RANK_SIZE says."""
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
        size = str(count)  # `kws train --workers` needs the table only
    if str(count) == size:
        yield Finding("rank table", OK, "%s: %d devices" % (path, count))
    else:
        yield Finding("rank table", WRONG, "%s: %d devices, but RANK_SIZE is %s" % (path, count, size),
                      "export RANK_SIZE=%d, or correct the table" % count)


def _packages():
    """What kws uses beside TensorFlow."""
    yield _package("soundfile", "soundfile", MISSING, "pip install --force-reinstall soundfile: it has libsndfile",
                   lambda soundfile: "%s with %s" % (soundfile.__version__, soundfile.__libsndfile_version__))
    tflite = [name for name in ("tflite_runtime", "ai_edge_litert", "tensorflow") if importlib.util.find_spec(name)]
    yield Finding("TFLite", OK, "in " + tflite[0]) if tflite else Finding(
        "TFLite", NOTE, "no interpreter", "pip install tflite-runtime, or ai-edge-litert for newer Pythons"
    )
    yield _package("espeak-ng", "espeakng_loader", NOTE, 'for prepare --synthesize: pip install "kwscli[synthesis]"',
                   lambda loader: loader.get_data_path())
    yield _package("matplotlib", "matplotlib", NOTE, 'for images in TensorBoard: pip install "kwscli[plots]"')


def _disk(name, path):
    """Free space where a path is, or will be."""
    there = os.path.abspath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    free = shutil.disk_usage(there).free / GIB
    value = "%.1f GiB free in %s" % (free, there)
    if not os.access(there, os.W_OK):
        return Finding(name, NOTE, value + ", which cannot be written", "work in another folder")
    if free < SPEECH_COMMANDS_GIB:
        return Finding(name, NOTE, value, "all of Speech Commands takes %d GiB" % SPEECH_COMMANDS_GIB)
    return Finding(name, OK, value)


def _cores():
    return Finding("cores", OK, "%d of %s %s" % (len(os.sched_getaffinity(0)), os.cpu_count(), platform.machine()))


def _memory():
    size = os.sysconf("SC_PAGE_SIZE")
    return Finding("memory", OK, "%.1f GiB" % (os.sysconf("SC_PHYS_PAGES") * size / GIB))
