"""HTML pages that are one file each: they open from disk, without a network and without scripts.

Jinja2 fills the templates of this folder, and escapes every text that it inserts.
"""
import base64
import os
from typing import Any, NamedTuple, Optional, Sequence

import numpy as np

from ... import __version__, imports
from ...sound import audio

EXTRA = "report"
_TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")


class Clip(NamedTuple):
    """A clip to listen to, and what stands above its player."""

    title: str
    samples: np.ndarray  # [n] float32 in [-1, 1]
    sample_rate: int
    note: str = ""
    picture: Optional[bytes] = None  # a PNG, such as a spectrogram
    picture_alt: str = ""


def clips_page(title: str, text: str, clips: Sequence[Clip]) -> str:
    """The HTML of a page with clips to listen to. text: what the page shows, in a sentence or two."""
    return render("clips.html", title=title, text=text, clips=clips)


def render(template: str, **values: Any) -> str:
    """The HTML of a template in this package."""
    jinja2 = imports.optional("jinja2", EXTRA)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, png=_png, wav=_wav)
    return environment.get_template(template).render(version=__version__, **values)


def percent(share: Optional[float], digits: int = 1) -> str:
    """0.5 -> "50.0 %"; a dash where there is no number."""
    return "\u2013" if share is None else "%.*f\u00a0%%" % (digits, 100 * share)


def _png(content):
    return _data_uri("image/png", content)


def _wav(clip):
    """The data URI of a WAV file with the samples of a Clip."""
    return _data_uri("audio/wav", audio.wav_bytes(clip.samples, clip.sample_rate))


def _data_uri(kind, content):
    return "data:%s;base64,%s" % (kind, base64.b64encode(content).decode("ascii"))
