"""What model files that contain their model.json have in common: names of inputs and outputs, and checks."""
from typing import Optional

from ..errors import KwsError
from ..labels import read_labels
from ..runs.description import Description

WAV_INPUT, WAVEFORM_INPUT, FEATURES_INPUT = "wav_data", "waveform", "fingerprint_input"
OUTPUT = "labels_softmax"


def check_labels(path: str, description: Description, labels_path: Optional[str]) -> None:
    """Refuse a file of labels (None: there is none) that are not the labels in the model file."""
    if labels_path and read_labels(labels_path) != description.labels:
        raise KwsError(
            "%s contains its labels (%s), and %s has others" % (path, ", ".join(description.labels), labels_path),
            "leave --labels out",
        )
