"""TensorFlow Lite's metadata, which Netron, MediaPipe and Android Studio show.

The numbers of the fields are those of tensorflow/lite/schema/schema.fbs (Model, Buffer, Metadata) and of
metadata_schema.fbs in tflite-support. That package itself is not used, because it needs another protobuf than
TensorFlow 2.x.
"""
import struct

from ..classifiers.described import FEATURES_INPUT, WAVEFORM_INPUT
from ..runs.description import Description
from ..runs.run_directory import LABELS
from . import flatbuffer
from .flatbuffer import Kept, Table

NAME = "TFLITE_METADATA"
_VERSION, _BUFFERS, _METADATA = 0, 4, 6  # fields of a Model
_OBJECTS = 1, 2, 3, 5, 7  # the fields of a Model that stay as they are
_AXIS_LABELS = 2  # an AssociatedFileType
_AUDIO = 4  # a ContentProperties


def added(content: bytes, description: Description, source: str) -> bytes:
    """The content of a .tflite file, with metadata. The old bytes stay as they are, behind a new beginning.

    source: the name of its input.
    """
    model = flatbuffer.root_of(content)
    slots = {number: flatbuffer.field(content, model, number) for number in range(8)}
    buffers = flatbuffer.kept_list(content, slots[_BUFFERS])
    entry = Table({0: NAME, 1: len(buffers)})
    fields = {number: Kept(flatbuffer.target(content, slots[number])) for number in _OBJECTS if slots[number]}
    fields[_VERSION] = struct.unpack_from("<I", content, slots[_VERSION])[0]
    fields[_BUFFERS] = buffers + [Table({0: metadata(description, source)})]
    fields[_METADATA] = flatbuffer.kept_list(content, slots[_METADATA]) + [entry]
    return flatbuffer.write(Table(fields), content[4:8], content)


def metadata(description: Description, source: str) -> bytes:
    """What a file says about itself, in TensorFlow Lite's form. source: as in `added`."""
    labels = Table({0: LABELS, 1: "The label of each score", 2: _AXIS_LABELS})
    graph = Table({
        2: [Table(_INPUTS[source](description.features))],
        3: [Table({0: "probability", 1: "The score of each label", 6: [labels]})],
    })
    model = {0: "Keyword spotter (%s)" % description.architecture, 1: _facts(description), 3: [graph]}
    if "kws" in description.versions:
        model[2] = description.versions["kws"]
    return flatbuffer.write(Table(model), b"M001")


def _features(settings):
    text = "%s features of one clip of %g ms at %d Hz: %d frames of %d values, %g ms every %g ms" % (
        (settings.features, settings.clip_duration_ms, settings.sample_rate) + settings.shape
        + (settings.window_size_ms, settings.window_stride_ms)
    )
    return {0: FEATURES_INPUT, 1: text}


def _waveform(settings):
    text = "One clip of %g ms at %d Hz: %d samples in [-1, 1]" % (
        settings.clip_duration_ms, settings.sample_rate, settings.clip_samples
    )
    channels = Table({0: settings.sample_rate, 1: 1})
    return {0: WAVEFORM_INPUT, 1: text, 3: Table({0: _AUDIO, 1: channels})}


_INPUTS = {FEATURES_INPUT: _features, WAVEFORM_INPUT: _waveform}


def _facts(description):
    lines = ["Keywords: %s." % ", ".join(description.data.wanted_words)]
    if description.validation:
        lines.append("Accuracy of its checkpoint on %d validation clips: %.2f %%." % (
            description.validation["clips"], 100 * description.validation["accuracy"]))
    if description.data_sha256:
        lines.append("SHA-256 of the training data: %s." % description.data_sha256)
    return " ".join(lines)
