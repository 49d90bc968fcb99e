"""The folders of C code that `kws freeze` writes: 16-bit samples -> scores, compiled for this machine when opened."""
import ctypes
import os
import tempfile
from typing import Optional, Sequence

import numpy as np

from .. import files, toolchain
from ..errors import KwsError
from ..runs.description import MODEL, Description, read_description
from ..sound import audio
from .classifier import Classifier
from .described import check_labels

# The SHA-256 of the files in SEALED, in the form of the program sha256sum.
CHECKSUMS = "SHA256SUMS"
# Users may have kernels of their own in kws_nn.c, and change the program around the kit.
SEALED = (
    "kws.c", "kws.h", "kws_detector.c", "kws_detector.h", "kws_features.c", "kws_features.h", "kws_model.c",
    "kws_model.h", "kws_nn.h", "kws_tables.h", MODEL,
)
_SIZE = """#include "kws.h"

const size_t kws_size = sizeof(kws);
"""


class Kit:
    """The kit in a folder, compiled for this machine as a library. It is a context manager.

    flags: further flags of the compiler, such as -DKWS_REAL=double, whose `real` is np.float64.
    """

    def __init__(self, folder: str, flags: Sequence[str] = (), real: type = np.float32) -> None:
        self._folder, self._flags, self._real = folder, flags, real
        self._built = None
        self.library = None
        self.numbers = toolchain.numbers_of(folder)

    def open(self) -> "Kit":
        """Compile and load it."""
        self._built = tempfile.TemporaryDirectory()
        try:
            self.library = self._loaded(self._built.name)
        except BaseException:
            self._built.cleanup()
            raise
        return self

    def _loaded(self, built):
        size = os.path.join(built, "size.c")
        with open(size, "w") as file:
            file.write(_SIZE)
        command = [*toolchain.host_compiler(), "-shared", "-fPIC", *self._flags]
        path = toolchain.build(self._folder, os.path.join(built, "kws.so"), command, toolchain.SOURCES + (size,))
        try:
            return ctypes.CDLL(path)
        except OSError as error:  # such as a kernel that is missing
            raise KwsError(
                "the compiled %s cannot be loaded: %s" % (self._folder, str(error).replace(path + ": ", "")),
                "freeze it again",
            )

    def close(self) -> None:
        """Remove what was compiled."""
        self.library = None
        self._built.cleanup()

    def __enter__(self) -> "Kit":
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()

    def scores(self, clips: np.ndarray) -> np.ndarray:
        """Clips [n, clip_samples] int16 -> scores [n, label_count]. Several threads may call it at once."""
        state = np.zeros(ctypes.c_size_t.in_dll(self.library, "kws_size").value, np.uint8)
        scores = np.empty((len(clips), self.numbers["LABEL_COUNT"]), np.float32)
        for clip, row in zip(np.ascontiguousarray(clips), scores):
            self.library.kws_init(_pointer(state))
            self.library.kws_feed(_pointer(state), _pointer(clip), ctypes.c_size_t(len(clip)))
            self.library.kws_result(_pointer(state), _pointer(row))
        return scores

    def run(self, features: np.ndarray) -> np.ndarray:
        """Features [n, frame_count * channel_count] int8 -> scores [n, label_count] int8."""
        arena = np.zeros(self.numbers["ARENA_BYTES"], np.int8)
        start, end = self.numbers["INPUT_OFFSET"], self.numbers["OUTPUT_OFFSET"]
        scores = np.empty((len(features), self.numbers["LABEL_COUNT"]), np.int8)
        for row, found in zip(features, scores):
            arena[start : start + len(row)] = row
            self.library.kws_model_run(_pointer(arena))
            found[:] = arena[end : end + len(found)]
        return scores

    def features(self, clips: np.ndarray) -> np.ndarray:
        """Clips [n, clip_samples] int16 -> features [n, frame_count, channel_count]."""
        numbers = self.numbers
        work = np.empty(numbers["WORK_VALUES"], self._real)
        found = np.empty((len(clips), numbers["FRAME_COUNT"], numbers["CHANNEL_COUNT"]), self._real)
        for clip, frames in zip(clips, found):
            for number, frame in enumerate(frames):
                start = number * numbers["STRIDE_SAMPLES"]
                samples = np.ascontiguousarray(clip[start : start + numbers["WINDOW_SAMPLES"]])
                self.library.kws_features_of(_pointer(samples), _pointer(work), _pointer(frame))
        return found


def _pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


class CKitClassifier(Classifier):
    """The C code of a network, from the samples to the scores."""

    format = "c"

    def __init__(self, path: str, description: Description, kit: Kit) -> None:
        super().__init__(
            path, description.labels, description.features, description.data, "", description.network,
            description.detector,
        )
        self._kit = kit

    def scores(self, clips: np.ndarray) -> np.ndarray:
        return self._kit.scores(audio.to_int16(clips))

    def close(self) -> None:
        self._kit.close()


def open_model(path: str, labels_path: Optional[str] = None) -> CKitClassifier:
    """The classifier in a folder, whose C code is compiled now."""
    _check_sealed(path)
    description = read_description(os.path.join(path, MODEL))
    check_labels(path, description, labels_path)
    if not toolchain.compiler():
        raise KwsError(
            "%s is C code, and no C compiler (%s) is in $PATH" % (path, ", ".join(toolchain.COMPILERS)),
            "install one, or name the same network in a .tflite file",
        )
    return CKitClassifier(path, description, Kit(path).open())


def seal(folder: str) -> None:
    """Write the checksums of a kit."""
    with open(os.path.join(folder, CHECKSUMS), "w", newline="\n") as file:
        for name in SEALED:
            file.write("%s  %s\n" % (files.sha256_of(os.path.join(folder, name)), name))


def _check_sealed(folder):
    """Refuse a kit that is not as `kws freeze` wrote it."""
    try:
        with open(os.path.join(folder, CHECKSUMS)) as file:
            wanted = {name: sha256 for sha256, _, name in (line.strip().partition("  ") for line in file)}
        different = [name for name in SEALED if files.sha256_of(os.path.join(folder, name)) != wanted.get(name)]
    except FileNotFoundError as error:
        raise KwsError("%s is not a whole C kit: there is no %s" % (folder, error.filename), "freeze or copy it again")
    if different:
        raise KwsError(
            "%s is not as kws freeze wrote it: it is cut off or changed" % os.path.join(folder, different[0]),
            "freeze or copy it again",
        )
