"""The steps of `kws words`: synthesise, mix with other recordings, train, choose thresholds, measure.

TRAIN_DIR is the run. TRAIN_DIR/made/ has what it is trained on:

    synthetic/     the synthesised recordings, see `corpus`
    recordings/    the user's recordings, prepared
    data/          all of them together, see `mixture`
"""
import os
import random
from typing import Any, List, NamedTuple, Optional, Tuple

from .. import classifiers, labels
from ..console import say
from ..data import dataset, layouts, prepare
from ..data.synthesize import check_words
from ..errors import KwsError
from ..labels import folded
from ..runs import run_directory
from ..runs.description import MODEL, read_description
from ..settings import SAMPLE_RATE, PrepareSettings
from ..sound import audio
from . import corpus, mixture, vocabulary, voices
from .corpus import Phrases
from .mixture import Part
from .phrases import HardNegatives

SEED = 59185
_OTHERS_QUICK = dict(training=60, validation=5, testing=5)  # clips of each word of the data path in the mixture
_OTHERS_FULL = dict(training=200, validation=10, testing=10)
_TRAINING = (  # as flags of kws train
    "--old-layers-rate-percentage", "30", "--noise-snr-db", "0,25", "--attenuation-db", "30",
    "--speed-percentage", "10", "--room-frequency", "0.4", "--microphone-frequency", "0.3",
)
_STEPS_QUICK, _STEPS_FULL = "700,300", "4000,2000"
_RATES = "0.001,0.0002"


class Request(NamedTuple):
    """What the user asks for."""

    keywords: Tuple[str, ...]
    language: str
    train_dir: str
    start_checkpoint: str
    recordings: Optional[str] = None
    data_path: Optional[str] = None
    word_list: Optional[str] = None
    piper_voices: Tuple[str, ...] = ()
    quick: bool = False
    overwrite: bool = False

    def folder(self, name: str) -> str:
        """A folder of what is made for the training."""
        return os.path.join(self.train_dir, "made", name)

    def spoken(self) -> Any:
        """What decides which recordings are synthesised, as JSON values."""
        return [list(self.keywords), self.language, self.word_list, list(self.piper_voices), self.quick]


class Material(NamedTuple):
    """The recordings that a network is trained and measured on."""

    keywords: Tuple[str, ...]
    phrases: Phrases
    synthetic: Part
    own: Optional[Part]
    kept: str  # how some of the user's recordings are kept for the test, see `mixture.own`
    other: Optional[Part]  # all recordings in the data path, those of keywords too


def checked(request: Request) -> Request:
    """The request with its keywords as folders are named. A KwsError, before anything is made, if it cannot be done."""
    labels.labels_of(request.keywords)
    request = request._replace(keywords=check_words(request.keywords))
    for keyword in request.keywords:
        if not _can_name_a_folder(keyword):
            raise KwsError("%r cannot be a keyword, because a folder with this name means something else" % keyword,
                           "choose another word; kws guide data lists these names")
    for name, path in (("--recordings", request.recordings), ("--data-path", request.data_path)):
        if path is not None and not os.path.isdir(path):
            raise KwsError("there is no folder %s" % path, "check %s" % name)
    if request.data_path and not dataset.is_prepared(request.data_path):
        raise KwsError("%s holds no prepared data" % request.data_path,
                       "run kws prepare --data-path %s first" % request.data_path)
    if _is_of_others(request):
        raise KwsError("%s has a run that kws words did not make" % request.train_dir,
                       "choose another --train-dir, or add --overwrite to delete that run")
    return request


def _is_of_others(request):
    """Whether another command made the run in the train dir."""
    made = os.path.isdir(request.folder("synthetic"))
    return os.path.exists(os.path.join(request.train_dir, MODEL)) and not made and not request.overwrite


def collect(request: Request) -> Material:
    """Synthesise what is missing, and write the data to train on. Checks first all that can be checked."""
    _check_start(request.start_checkpoint)
    other = _other(request)
    own, kept = _own(request)
    _synthesize(request)
    folder = request.folder("synthetic")
    prepare.prepare(folder, folder, PrepareSettings(sample_rate=SAMPLE_RATE))
    synthetic = mixture.whole(dataset.load(folder), request.keywords)
    parts = [synthetic]
    if own:
        own = mixture.weighted(own, synthetic, request.keywords)
        parts.append(own)
    if other:
        parts.append(mixture.others(other.dataset, request.keywords, _other_clips(request, own)))
    mixture.write(request.folder("data"), parts, SAMPLE_RATE)
    return Material(request.keywords, corpus.read_phrases(folder), synthetic, own, kept, other)


def _check_start(path):
    """Raise a KwsError for a network that cannot learn from the recordings that `collect` writes."""
    known = classifiers.description(path)
    if known and known.features.sample_rate != SAMPLE_RATE:
        raise KwsError("%s takes %d samples per second, but kws words makes recordings of %d"
                       % (path, known.features.sample_rate, SAMPLE_RATE), "choose another --start-checkpoint")


def _other(request):
    """All recordings in the data path, or None. Raises a KwsError if they cannot measure false accepts."""
    if not request.data_path:
        return None
    data = dataset.load(request.data_path)
    dataset.check_sample_rate(data, SAMPLE_RATE)
    other = mixture.whole(data, request.keywords)
    for split in (mixture.VALIDATION, mixture.TESTING):
        if not set(other.words[other.splits == split]) - set(request.keywords):
            raise KwsError("%s has no recordings of other words in its %s split" % (request.data_path, split),
                           "add other words, such as those of Speech Commands, or leave --data-path out")
    return other


def _other_clips(request, own):
    """{split: how many clips of each word of the data path are trained}.

    None where some keyword is trained without recordings of people, so that the network cannot learn that people say
    only other words.
    """
    if not own or set(request.keywords) - set(own.words[own.splits == mixture.TRAINING]):
        return {}
    return _OTHERS_QUICK if request.quick else _OTHERS_FULL


def _own(request):
    """(the user's recordings or None, how some are kept for the test)."""
    if not request.recordings:
        return None, ""
    source, out = request.recordings, request.folder("recordings")
    os.makedirs(out, exist_ok=True)
    if any(audio.is_sound(name) for name in os.listdir(source)):
        source = _as_folder_of_word(request, out)
    prepare.prepare(source, out, PrepareSettings(sample_rate=SAMPLE_RATE), force=True)
    data = dataset.load(out)
    there = {folded(word) for word in data.words}
    missing = [keyword for keyword in request.keywords if folded(keyword) not in there]
    if len(missing) == len(request.keywords):
        raise KwsError("%s has no recordings of %s" % (request.recordings, ", ".join(missing)),
                       "put them into a folder that has the keyword as its name")
    if missing:
        say("%s has no recordings of %s, which is trained on synthesised ones only."
            % (request.recordings, ", ".join(missing)))
    return mixture.own(data, request.keywords)


def _as_folder_of_word(request, out):
    """A folder with a link, named after the only keyword, to recordings that lie in no folder of their own."""
    if len(request.keywords) > 1:
        raise KwsError("%s has recordings that are in no folder" % request.recordings,
                       "make a folder for each keyword: %s" % ", ".join(request.keywords))
    source = os.path.join(out, "source")
    os.makedirs(source, exist_ok=True)
    link = os.path.join(source, request.keywords[0])
    if os.path.lexists(link):
        os.remove(link)
    os.symlink(os.path.abspath(request.recordings), link)
    return source


def _synthesize(request):
    """Synthesise the recordings, unless they are there."""
    folder = request.folder("synthetic")
    if os.path.isdir(folder) and not request.overwrite:
        _check_same(folder, corpus.read_phrases(folder).asked, request.spoken())
        say("%s is there already." % folder)
        return
    amounts = corpus.QUICK if request.quick else corpus.FULL
    words = vocabulary.words_of(request.language, request.word_list)
    with voices.opened(request.language, request.piper_voices) as synthesizers:
        espeak = synthesizers[0]
        for keyword in request.keywords:
            espeak.check(keyword)
            corpus.check_length(keyword, espeak)
        corpus.make(folder, _phrases(request, words, espeak, amounts), synthesizers, amounts, SEED)


def _check_same(folder, before, now):
    """Refuse recordings that were made for another request; see `Request.spoken`."""
    names = "the words", "--language", "--word-list", "--piper-voice", "--quick"
    different = [name for name, old, new in zip(names, before, now) if old != new]
    if different:
        raise KwsError("%s was made for other words or with other flags: %s differ" % (folder, ", ".join(different)),
                       "choose another --train-dir, or add --overwrite")


def _phrases(request, words, espeak, amounts):
    """What to say: the keywords, what sounds like them, and other words."""
    usable = list(filter(_can_name_a_folder, words))
    alike = HardNegatives(request.keywords, usable, espeak.sounds_of)
    # Half of the words at most, so that others are left to measure false accepts on.
    count = min(amounts.hard_phrases, max(1, len(usable) // (2 * len(request.keywords))))
    found = (text for keyword in request.keywords for text in alike.of(keyword, count))
    hard = list(dict.fromkeys(filter(_can_name_a_folder, found)))
    taken = {folded(text) for text in hard + list(request.keywords)}
    rest = [word for word in usable if folded(word) not in taken]
    if not rest:
        raise KwsError("the word list has no words beside the keywords and those that sound like them",
                       "give a longer --word-list")
    others = random.Random(SEED).sample(rest, min(len(rest), amounts.other_words))
    return Phrases(list(request.keywords), hard, others, request.spoken())


def _can_name_a_folder(phrase):
    """Whether kws prepare takes a folder with this name as that of a word; noise, for example, it does not."""
    return layouts.word_of(os.path.join(phrase, "a.wav")) == phrase


def training_flags(request: Request) -> List[str]:
    """The flags of `kws train` for the data that `collect` wrote."""
    steps = _STEPS_QUICK if request.quick else _STEPS_FULL
    last = str(sum(map(int, steps.split(","))))  # the clips for validation are too few and too easy to choose a step by
    return [
        "--data-path", request.folder("data"), "--train-dir", request.train_dir,
        "--start-checkpoint", request.start_checkpoint, "--wanted-words", ",".join(request.keywords) + ",",
        "--how-many-training-steps", steps, "--learning-rate", _RATES, "--eval-step-interval", last,
    ] + list(_TRAINING) + (["--overwrite"] if request.overwrite else [])


def is_trained(request: Request) -> bool:
    """Whether the train dir has a finished training on the data that `collect` wrote."""
    model = os.path.join(request.train_dir, MODEL)
    if request.overwrite or not os.path.exists(model) or not run_directory.read_state(request.train_dir)[0]:
        return False
    return read_description(model).data_sha256 == dataset.read_info(request.folder("data"))["sha256"]
