"""Measure the cold start of `kws label` on this Python: how long one recording takes, from the shell to the result.

    python tests/benchmark_start.py [--rounds N] [--checkpoint PATH]

Runs three processes in turn, and prints the median time of each, by the clock and on the processor:

    the imports that nothing can do without: click, numpy, soundfile and TensorFlow Lite's interpreter
    kws label, with that interpreter
    kws label, with the interpreter inside TensorFlow

On a busy machine, compare the times on the processor.
"""
import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

import numpy as np
import soundfile

from kwscli import pretrained

SMALL = ("tflite_runtime", "ai_edge_litert")
LABEL = "from kwscli.cli import main; main()"


def commands(checkpoint, recording):
    """{what: a command line}."""
    small = next((name for name in SMALL if find_spec(name)), None)
    interpreter = "%s.interpreter" % small if small else "tensorflow"
    label = ["label", "--checkpoint", checkpoint, recording]
    hidden = "import sys; sys.modules.update(dict.fromkeys(%r)); " % (SMALL,)
    return {
        "imports (%s)" % interpreter: [sys.executable, "-c", "import click, numpy, soundfile, " + interpreter],
        "kws label": [sys.executable, "-c", LABEL] + label,
        "kws label through TensorFlow": [sys.executable, "-c", hidden + LABEL] + label,
    }


def measure(command, environ):
    """(seconds by the clock, seconds on the processor) of a process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--checkpoint", default=pretrained.names()[0])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = os.path.join(folder, "yes.wav")
        soundfile.write(recording, 0.3 * np.sin(np.arange(16000) / 5), 16000)
        # Python keeps what it compiles, as it does where kws is installed.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        measured = commands(given.checkpoint, recording)
        times = {what: [] for what in measured}
        for count in range(given.rounds + 1):  # the first round fills the caches of the disk
            for what, command in measured.items():
                taken = measure(command, environ)
                times[what] += [taken] if count else []
    medians = {what: [1000 * statistics.median(column) for column in zip(*taken)] for what, taken in times.items()}
    first = next(iter(medians.values()))
    print("Python %s, medians of %d" % (sys.version.split()[0], given.rounds))
    for what, (clock, processor) in medians.items():
        print("%-40s %6.0f ms (%5.2f x)   %6.0f ms of processor time (%5.2f x)"
              % (what, clock, clock / first[0], processor, processor / first[1]))


if __name__ == "__main__":
    main()
