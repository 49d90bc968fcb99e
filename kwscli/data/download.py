"""Downloads of the published Speech Commands archives: resumed when the connection is lost, checked by SHA-256."""
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from typing import Dict, NamedTuple

from .. import files
from ..console import Progress, say
from ..errors import KwsError

ADDRESS = "https://storage.googleapis.com/download.tensorflow.org/data/"


class Published(NamedTuple):
    """An archive on the server."""

    name: str
    size: int  # in bytes
    sha256: str

    @property
    def url(self) -> str:
        return ADDRESS + self.name


ARCHIVES: Dict[str, Published] = {
    "0.02": Published(
        "speech_commands_v0.02.tar.gz", 2428923189, "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
    ),
    "0.01": Published(
        "speech_commands_v0.01.tar.gz", 1489096277, "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d"
    ),
}
CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30
# Stop after this many connections in a row without any data. The wait after the first of them doubles each time.
TRIES = 5
WAIT_SECONDS = 1.0


class _Lost(Exception):
    """The connection failed; the data received so far is kept."""


def download(version: str, folder: str) -> str:
    """Download the archive of `version` into `folder`, resume an unfinished download, and return its path."""
    if version not in ARCHIVES:
        raise KwsError(
            "there is no version %s of Speech Commands" % version, "choose %s" % " or ".join(sorted(ARCHIVES))
        )
    published = ARCHIVES[version]
    path = os.path.join(str(folder), published.name)
    part = path + ".part"
    if os.path.exists(path):
        _check_existing(path, published)
        return path
    try:
        os.makedirs(str(folder), exist_ok=True)
        _fetch(published, part)
        _check(published, part)
        os.replace(part, path)
    except OSError as error:
        raise KwsError(
            "cannot write %s: %s; %s" % (part, error.strerror or error, _kept(part, published)),
            "free some space or choose another folder, then run the same command again to resume the download",
        )
    return path


def _check_existing(path, published):
    found = os.path.getsize(path)
    if found != published.size:
        raise KwsError(
            "%s exists already, but has %s bytes instead of the published %s"
            % (path, "{:,}".format(found), "{:,}".format(published.size)),
            "move it away to download the published archive",
        )
    say("%s exists already; nothing to download" % path)


def _fetch(published, part):
    """Download the rest of an archive into `part`, with as many connections as necessary."""
    tries = 0
    while _size(part) < published.size:
        before = _size(part)
        try:
            _fetch_rest(published, part)
        except _Lost as lost:
            tries = 1 if _size(part) > before else tries + 1
            if tries >= TRIES:
                raise KwsError(
                    "lost the connection to %s: %s; %s" % (published.url, lost, _kept(part, published)),
                    "run the same command again to resume the download",
                )
            say("connection lost: %s; %s; trying again" % (lost, _kept(part, published)))
            time.sleep(WAIT_SECONDS * 2 ** (tries - 1))


def _fetch_rest(published, part):
    """Use one connection to append the missing bytes to `part`, or to start over if the server cannot resume."""
    done = _size(part)
    with _connect(published.url, done) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        done = done if resumed else 0
        _check_length(response, published.url, published.size - done)
        what, mode = "downloading %s" % published.name, "ab" if resumed else "wb"
        with Progress(what, total=published.size, unit="B", initial=done) as progress, open(part, mode) as out:
            for chunk in _chunks(response, published.size - done):
                out.write(chunk)
                done += len(chunk)
                progress.update(len(chunk))
    if done < published.size:
        raise _Lost("the server closed it early")


def _connect(url, done):
    """The response to a request for all but the first `done` bytes."""
    request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % done} if done else {})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code == http.client.TOO_MANY_REQUESTS:
            raise _Lost("HTTP %d %s" % (error.code, error.reason))
        raise KwsError(
            "%s cannot be downloaded: HTTP %d %s" % (url, error.code, error.reason),
            "download it in another way and put it into the data folder",
        )
    except (OSError, http.client.HTTPException) as error:
        raise _Lost(getattr(error, "reason", None) or error)


def _check_length(response, url, expected):
    found = response.headers.get("Content-Length")
    if found is not None and found.isdigit() and int(found) != expected:
        raise KwsError(
            "%s is not the published archive: the server offers %s bytes instead of %s"
            % (url, "{:,}".format(int(found)), "{:,}".format(expected)),
            "download it from another network, and put it into the data folder",
        )


def _chunks(response, left):
    """At most `left` bytes of the body, in pieces."""
    while left:
        try:
            chunk = response.read(min(CHUNK_BYTES, left))
        except (OSError, http.client.HTTPException) as error:
            raise _Lost(str(error) or type(error).__name__)
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


def _check(published, part):
    """Delete `part` and raise a KwsError unless its SHA-256 is the published one."""
    digest = hashlib.sha256()
    with Progress("checking", total=_size(part), unit="B") as progress:
        for block in files.blocks(part):
            digest.update(block)
            progress.update(len(block))
    if digest.hexdigest() != published.sha256:
        os.remove(part)
        raise KwsError(
            "the download from %s is damaged: its SHA-256 is %s instead of %s"
            % (published.url, digest.hexdigest(), published.sha256),
            "kws deleted it; run the same command again",
        )


def _size(part):
    return os.path.getsize(part) if os.path.exists(part) else 0


def _kept(part, published):
    return "{:,} of {:,} bytes are kept in {}".format(_size(part), published.size, part)
