"""Compiles a C kit: for this machine, to run it, and for microcontrollers, to measure it in an emulator."""
import os
import re
import shutil
import subprocess
import tempfile
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .errors import KwsError

COMPILERS = ("cc", "gcc", "clang")
CROSS, EMULATOR = "arm-none-eabi-", "qemu-system-arm"
STRICT = (
    "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-ffp-contract=off",
)
OPTIMIZED = "-O2"
SOURCES = ("kws.c", "kws_detector.c", "kws_features.c", "kws_model.c", "kws_nn.c")
_SECONDS = 300  # a compiler or an emulator that takes longer is broken


class Core(NamedTuple):
    """A processor that QEMU emulates: its board, and the flags of the compiler."""

    name: str
    board: str
    flags: Tuple[str, ...]


CORES = {
    "m3": Core("Cortex-M3", "mps2-an385", ("-mcpu=cortex-m3", "-mthumb")),
    "m4": Core("Cortex-M4", "mps2-an386", ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "m7": Core("Cortex-M7", "mps2-an500", ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")),
}


class Sizes(NamedTuple):
    """Bytes in the compiled kit."""

    code: int
    weights: int  # and the layers' numbers
    tables: int  # of the features
    state: int  # the memory that changes


def compiler() -> Optional[str]:
    """The path of this machine's C compiler; None if there is none."""
    for name in filter(None, (os.environ.get("CC"),) + COMPILERS):
        path = shutil.which(name)
        if path:
            return path
    return None


def host_compiler() -> Optional[List[str]]:
    """The command that compiles for this machine; None if there is no compiler."""
    return [compiler(), OPTIMIZED, *STRICT] if compiler() else None


def numbers_of(folder: str) -> Dict[str, int]:
    """{name without KWS_: value} of the integers in the kws_model.h of a kit."""
    with open(os.path.join(folder, "kws_model.h"), encoding="utf-8") as file:
        found = re.findall(r"#define KWS_(\w+) \(?(-?\d+)\)?\n", file.read())
    return {name: int(value) for name, value in found}


def build(folder: str, output: str, command: Sequence[str], sources: Sequence[str] = SOURCES) -> str:
    """Compile the kit in a folder with a command to `output`."""
    files = [os.path.join(folder, name) for name in sources]
    missing = [path for path in files if not os.path.isfile(path)]
    if missing:
        raise KwsError("%s is not a whole C kit: there is no %s" % (folder, missing[0]), "freeze or copy it again")
    _run([*command, "-I", folder, *files, "-o", output, "-lm"], "correct the C code, or freeze it again")
    return output


def sizes(folder: str, command: Sequence[str], size: str) -> Sizes:
    """Measure the kit in a folder, compiled by a command. size: the program of the same tools that lists sections."""
    with tempfile.TemporaryDirectory() as built:
        sections = {}
        with open(os.path.join(built, "state.c"), "w") as file:
            file.write('#include "kws.h"\nkws state = {.next = 0};\n')
        for name in [os.path.join(folder, one) for one in SOURCES] + [file.name]:
            path = os.path.join(built, "kws.o")
            _run([*command, "-c", "-I", folder, name, "-o", path])
            listed = re.findall(r"^\.(text|rodata|data|bss)\S* +(\d+)", _run([size, "-A", path]), re.M)
            sections[os.path.basename(name)] = [
                sum(int(count) for kind, count in listed if kind in kinds)
                for kinds in (("text",), ("rodata", "data"), ("bss",))
            ]
    code = sum(sections[name][0] for name in SOURCES)
    return Sizes(code, sections["kws_model.c"][1], sections["kws_features.c"][1], sections["state.c"][2])


def cross_compiler(core: Core) -> Optional[List[str]]:
    """The command that compiles for a core; None if there is no compiler for it."""
    path = shutil.which(CROSS + "gcc")
    return [path, OPTIMIZED, *STRICT, *core.flags] if path else None


def emulated(folder: str, core: Core, arguments: Sequence[str] = ()) -> Optional[str]:
    """What the program main.c prints on an emulated core; None where the compiler or the emulator is missing."""
    command, emulator = cross_compiler(core), shutil.which(EMULATOR)
    if not command or not emulator:
        return None
    with tempfile.TemporaryDirectory() as built:
        program = os.path.join(built, "kws.elf")
        build(
            folder, program,
            [*command, "-DKWS_EMULATOR", "--specs=rdimon.specs", "-T", os.path.join(folder, "emulator.ld")],
            SOURCES + ("main.c", "emulator.c"),
        )
        semihosting = ",".join(["enable=on,target=native", *("arg=" + one for one in ("kws", *arguments))])
        return _run([
            emulator, "-M", core.board, "-nographic", "-monitor", "none", "-serial", "null", "-icount", "shift=0",
            "-semihosting-config", semihosting, "-kernel", program,
        ])


def instructions(printed: str) -> Dict[str, int]:
    """{"features" or "network": the instructions of a clip} of what an emulated program printed."""
    return {name: int(count) for name, count in re.findall(r"^(\w+): (\d+) instructions$", printed, re.M)}


def _run(command, advice="check that it works"):
    """What a program prints on stdout; a KwsError with its first complaint if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=_SECONDS
        )
    except FileNotFoundError:
        raise KwsError("there is no program %s" % command[0], "install the tools of the compiler")
    except subprocess.TimeoutExpired:
        raise KwsError("%s took more than %d seconds" % (command[0], _SECONDS), "check that it works")
    stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    if done.returncode:
        told = [line for line in (stderr or stdout).splitlines() if line.strip()]
        errors = [line for line in told if "error" in line] or told[-1:] or ["status %d" % done.returncode]
        raise KwsError("%s failed: %s" % (os.path.basename(command[0]), errors[0]), advice)
    return stdout
