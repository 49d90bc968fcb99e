"""model.json: what a network is and how it was trained. It is all that a checkpoint needs beside its weights."""
import dataclasses
import json
import platform
from typing import Any, Dict, List, Tuple

from .. import __version__, files
from ..errors import KwsError
from ..settings import DataSettings, DetectorSettings, TrainSettings, from_json, to_json
from ..sound.feature_settings import FeatureSettings

FORMAT = 1
MODEL = "model.json"
_SETTINGS = {"features": FeatureSettings, "data": DataSettings, "train": TrainSettings, "detector": DetectorSettings}
_TUPLES = "model_size_info", "labels", "teacher_sha256"
_YOUNGER = {"workers", "start_sha256", "teacher_sha256", "validation", "detector"}  # older files lack these


@dataclasses.dataclass(frozen=True)
class Description:
    """The content of model.json: enough to rebuild the network, its features and its labels."""

    architecture: str
    model_size_info: Tuple[int, ...]
    labels: Tuple[str, ...]
    features: FeatureSettings
    data: DataSettings
    train: TrainSettings
    data_path: str = ""
    data_sha256: str = ""
    start_checkpoint: str = ""
    start_sha256: str = ""  # of the file with its weights
    teacher_sha256: Tuple[str, ...] = ()  # of the files with the weights of its teachers
    workers: int = 1  # how many trained together
    detector: DetectorSettings = DetectorSettings()  # for kws listen
    versions: Dict[str, str] = dataclasses.field(default_factory=dict, compare=False)
    # Of an exported network: the accuracy of its checkpoint on the validation split, and the number of clips there.
    validation: Dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def network(self) -> Tuple[str, Tuple[int, ...]]:
        """The architecture and its size."""
        return self.architecture, self.model_size_info

    def to_json(self) -> Dict[str, Any]:
        """The description as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values.update({name: to_json(values[name]) for name in _SETTINGS})
        lists = {name: list(values[name]) for name in _TUPLES}
        if not self.validation:  # as in every model.json of a run
            del values["validation"]
        return dict(values, format=FORMAT, **lists)

    @classmethod
    def from_json(cls, values: Dict[str, Any], where: str) -> "Description":
        """The description that `to_json` gave. Errors name `where` it was read."""
        values = dict(values)
        if values.get("format") != FORMAT:
            raise KwsError(
                "%s has format %s, but kws %s reads format %d" % (where, values.get("format"), __version__, FORMAT),
                "use the version of kws that wrote it, or a newer one",
            )
        del values["format"]
        names = {field.name for field in dataclasses.fields(cls)}
        unknown, missing = sorted(set(values) - names), sorted(names - _YOUNGER - set(values))
        if missing:
            raise KwsError("%s lacks %s" % (where, ", ".join(missing)), "it is damaged or from another version of kws")
        if unknown:
            raise KwsError(
                "%s contains %s, which kws %s does not know" % (where, ", ".join(unknown), __version__), "update kws"
            )
        values.update({name: from_json(kind, values[name], where) for name, kind in _SETTINGS.items()
                       if name in values})
        for name in _TUPLES:
            values[name] = tuple(values.get(name, ()))
        return cls(**values)

    def portable(self) -> "Description":
        """The description without paths of this machine."""
        train = dataclasses.replace(self.train, teacher=())
        return dataclasses.replace(
            self, train=train, data_path="", start_checkpoint="", start_sha256="", teacher_sha256=()
        )

    def differences(self, other: "Description") -> List[str]:
        """The settings that keep this training from continuing another one, each as `name mine, not theirs`.

        Data and start checkpoints with the same hash are the same, wherever they are. A training that continues needs
        no start checkpoint, and it may have more steps, if the steps so far have the same learning rates.
        """
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        if mine["data_sha256"] and mine["data_sha256"] == theirs["data_sha256"]:
            del mine["data_path"]
        hashed = mine.pop("start_sha256")
        if not self.start_checkpoint or hashed and hashed == other.start_sha256:
            del mine["start_checkpoint"]
        if mine["teacher_sha256"]:  # equal teachers have equal hashes, wherever they are
            del mine["teacher"]
        if self.train.extends(other.train):
            del mine["how_many_training_steps"], mine["learning_rate"]
        different = [name for name in mine if mine[name] != theirs.get(name)]
        return ["%s %s, not %s" % (name, mine[name], theirs.get(name)) for name in different]


def _flat(values):
    """{"train": {"seed": 1}} -> {"seed": 1}, without what does not change the weights."""
    flat = {}
    for name, value in values.items():
        if name not in ("versions", "validation", "detector"):
            flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def versions(tensorflow_version: str) -> Dict[str, str]:
    """What a run is made with."""
    return {"kws": __version__, "python": platform.python_version(), "tensorflow": tensorflow_version}


def read_description(path: str) -> Description:
    """The Description in a model.json."""
    advice = "copy it again from where the network was trained"
    try:
        return Description.from_json(_upgraded(files.read_json(path, advice), path), path)
    except FileNotFoundError:
        raise KwsError("there is no %s" % path, "keep a checkpoint together with the model.json that kws train wrote")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KwsError("%s is damaged: %s" % (path, error), advice)


def write_detector(path: str, settings: DetectorSettings) -> None:
    """Write other settings of the detector into a model.json, and leave the rest as it is."""
    values = files.read_json(path, "copy it again from where the network was trained")
    with files.replacing(path) as file:
        json.dump(dict(values, detector=to_json(settings)), file, indent=1)


def _upgraded(values, path):
    """The values of a model.json, in their present form.

    Before there were log mel energies, BC-ResNet took all cepstral coefficients and undid their cosine transform.
    """
    features = values.get("features")
    if values.get("architecture") != "bc_resnet" or not isinstance(features, dict) or "features" in features:
        return values
    if features["dct_coefficient_count"] != features["filterbank_channel_count"]:
        raise KwsError("%s describes a BC-ResNet on fewer cepstral coefficients than mel filters, which kws no longer "
                       "has" % path, "train it again")
    return dict(values, features=dict(features, features="log_mel"))
