"""Writes kws_model.h and kws_model.c: the network of an 8-bit .tflite file as constants and calls of kernels."""
import re
from typing import Any, List, NamedTuple, Sequence, Union

import numpy as np

from ...errors import KwsError
from ...runs.description import Description
from ...sound.feature_settings import FeatureSettings
from ...sound.features import fft_length
from . import arena, detector, layers, tables, tflite_file

_TYPES = {"int8": "int8_t", "int32": "int32_t"}
_HEADER = """/* The network: what it takes and gives. Made by kws freeze. */
#ifndef KWS_MODEL_H
#define KWS_MODEL_H

#include <stdint.h>

%s
extern const char *const kws_labels[KWS_LABEL_COUNT];

/* Run the network. The arena has KWS_ARENA_BYTES: the input [KWS_FRAME_COUNT][KWS_CHANNEL_COUNT] is at
 * KWS_INPUT_OFFSET, and afterwards the scores [KWS_LABEL_COUNT] are at KWS_OUTPUT_OFFSET. A feature is
 * KWS_INPUT_SCALE * (integer - KWS_INPUT_ZERO), and a score is (integer + 128) / 256. */
void kws_model_run(int8_t *arena);

/* How kws_listen finds keywords, see kws_detector.c. Per label: the largest product of its KWS_DOUBTS smallest doubts
 * that is a detection, in 1 / 256^KWS_DOUBTS; and its threshold, in 1 / 256, rounded up. */
extern const uint64_t kws_doubt_limits[KWS_LABEL_COUNT];
extern const int16_t kws_thresholds[KWS_LABEL_COUNT];

#endif
"""


class Model(NamedTuple):
    """The two files, and the size of the arena in bytes."""

    header: str
    source: str
    arena_bytes: int
    macs: int


def model_of(content: bytes, description: Description) -> Model:
    """The C source of the network in the content of a .tflite file."""
    network, labels, settings = tflite_file.read(content), description.labels, description.features
    if fft_length(settings) < 4:
        raise KwsError("the C kit needs windows of at least 3 samples", "train with a longer --window-size-ms")
    rules = detector.rules_of(labels, settings, description.detector)
    calls = layers.calls_of(network)
    planned = arena.plan(network, calls)
    header = header_of(
        labels, settings, rules,
        INPUT_SCALE=repr(float(network.input.scale)),
        INPUT_ZERO="(%d)" % network.input.zero_point,
        ARENA_BYTES=planned.size,
        INPUT_OFFSET=planned.offsets[network.input.index],
        OUTPUT_OFFSET=planned.offsets[network.output.index],
    )
    source = (
        "/* The weights of the network and its layers in their order. Made by kws freeze. */\n"
        '#include "kws_model.h"\n\n#include "kws_nn.h"\n\n%s\n%s'
        % (constants_of(labels, rules), _Writer(planned).body(calls))
    )
    macs = sum(call.macs for call in calls if isinstance(call, layers.Call))
    return Model(header, source, planned.size, macs)


def header_of(labels: Sequence[str], settings: FeatureSettings, rules: detector.Rules, **network: Any) -> str:
    """The content of kws_model.h. network: the numbers of the network, by their names."""
    numbers = dict(
        LABEL_COUNT=len(labels),
        SAMPLE_RATE=settings.sample_rate,
        CLIP_SAMPLES=settings.clip_samples,
        WINDOW_SAMPLES=settings.window_size_samples,
        STRIDE_SAMPLES=settings.window_stride_samples,
        FFT_LENGTH=fft_length(settings),
        WORK_VALUES=tables.work_values(settings),
        FRAME_COUNT=settings.frame_count,
        CHANNEL_COUNT=settings.channel_count,
        CLIP_STRIDE_FRAMES=rules.stride_frames,
        CLIP_STRIDE_SAMPLES=rules.stride_frames * settings.window_stride_samples,
        SMOOTHING_WINDOWS=rules.windows,
        MINIMUM_WINDOWS=rules.minimum_windows,
        DOUBTS=rules.doubts,
        SUPPRESSED_WINDOWS=rules.suppressed,
        **network
    )
    return _HEADER % "".join("#define KWS_%s %s\n" % one for one in numbers.items())


def constants_of(labels: Sequence[str], rules: detector.Rules) -> str:
    """The labels, and what the detector compares."""
    return "".join(
        "const %s[KWS_LABEL_COUNT] = {\n%s};\n" % (declaration, tables.lines(values))
        for declaration, values in (
            ("char *const kws_labels", map(_string, labels)),
            ("uint64_t kws_doubt_limits", map("{}ULL".format, rules.limits)),
            ("int16_t kws_thresholds", map(str, rules.thresholds)),
        )
    )


class _Writer:
    """Writes constants, each once, and the calls that use them."""

    def __init__(self, planned: arena.Arena) -> None:
        self._planned = planned
        self._constants: List[str] = []
        self._names = {}  # {type and content of an array: its name}

    def body(self, calls: Sequence[Union[layers.Call, layers.Alias]]) -> str:
        """The constants, and the function that runs the network."""
        run = []
        for number, call in enumerate((one for one in calls if isinstance(one, layers.Call)), 1):
            arguments = []
            if call.struct:
                fields = self._value(call.fields)
                self._constants.append("static const %s layer_%d = %s;\n" % (call.struct, number, fields))
                arguments.append("&layer_%d" % number)
            arguments.extend(self._value(one) for one in call.arguments)
            arguments.extend(self._place(one) for one in list(call.inputs) + [call.output])
            run.append("    %s(%s);\n" % (call.function, ", ".join(arguments)))
        return "%s\nvoid kws_model_run(int8_t *arena)\n{\n%s}\n" % ("\n".join(self._constants), "".join(run))

    def _place(self, tensor):
        return "arena + %d" % self._planned.offsets[tensor.index] if tensor.data is None else self._value(tensor.data)

    def _value(self, value: Any) -> str:
        if isinstance(value, dict):
            return "{\n%s}" % "".join("    .%s = %s,\n" % (name, self._value(one)) for name, one in value.items())
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, (list, tuple)):
            return "{%s}" % ", ".join(map(self._value, value))
        return "%d" % value

    def _array(self, values):
        key = values.dtype.name, values.tobytes()
        if key not in self._names:
            self._names[key] = name = "values_%d" % (len(self._names) + 1)
            self._constants.append(array("static const %s %s" % (_TYPES[values.dtype.name], name), values.ravel()))
        return self._names[key]


def array(declaration: str, values: np.ndarray) -> str:
    """An array of integers [n] or of rows of integers [n, m]."""
    if values.ndim == 1:
        return "%s[%d] = {\n%s};\n" % (declaration, len(values), tables.lines(map(_integer, values)))
    rows = "".join("    {\n%s    },\n" % tables.lines(map(_integer, row)) for row in values)
    return "%s[%d][%d] = {\n%s};\n" % ((declaration,) + values.shape + (rows,))


def _integer(value):
    # The lowest integer of 32 bits has no literal.
    return "%d" % value if value > -2 ** 31 else "INT32_MIN"


def _string(text):
    """A C string: letters as they are, all other bytes as octal numbers."""
    plain = re.compile(rb"[A-Za-z0-9 _.+-]")
    return '"%s"' % "".join(
        chr(byte) if plain.match(bytes([byte])) else "\\%03o" % byte for byte in text.encode("utf-8")
    )


def vectors(features: np.ndarray, scores: np.ndarray, samples: np.ndarray) -> str:
    """The content of test_vectors.h: int8 features [n, values] and scores [n, labels], int16 samples of one clip.

    The samples are those of the first row of features.
    """
    return "\n".join([
        "/* Clips as the network sees them, the scores that it gives them, and the samples of the first clip.",
        " * Made by kws freeze. */",
        "#ifndef TEST_VECTORS_H\n#define TEST_VECTORS_H\n",
        "#include <stdint.h>\n\n#define VECTOR_COUNT %d\n" % len(features),
        array("static const int8_t vector_features", features),
        array("static const int8_t vector_scores", scores),
        array("static const int16_t vector_samples", samples),
        "#endif\n",
    ])
