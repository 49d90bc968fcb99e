"""The published Speech Commands archives: fetched once, resumed when the connection is lost, checked by SHA-256."""
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request

from ..console import Progress, say
from ..errors import KwsError

ADDRESS = "https://storage.googleapis.com/download.tensorflow.org/data/"
# version: (name, bytes, SHA-256)
ARCHIVES = {
    "0.02": (
        "speech_commands_v0.02.tar.gz", 2428923189,
        "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
    "0.01": (
        "speech_commands_v0.01.tar.gz", 1489096277,
        "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
}
CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30
# Connections in a row that bring nothing before giving up, and the wait after the first of them; it doubles each time.
TRIES = 5
WAIT_SECONDS = 1.0


class _Lost(Exception):
    """The connection failed; what it brought is kept."""


def download(version, folder, url=None, sha256=None, size=None):
    """Fetch the archive of `version` ("0.02" or "0.01") into `folder` -> its path. An unfinished download is resumed.

    url, sha256, size: another address, and what is expected there.
    """
    if version not in ARCHIVES:
        raise KwsError("there is no Speech Commands version %s; choose %s" % (version, " or ".join(sorted(ARCHIVES))))
    name, published_size, published_sha256 = ARCHIVES[version]
    url, size, sha256 = url or ADDRESS + name, size or published_size, sha256 or published_sha256
    path = os.path.join(str(folder), name)
    part = path + ".part"
    if os.path.exists(path):
        return _already_there(path, size)
    try:
        os.makedirs(str(folder), exist_ok=True)
        _fetch(url, part, size)
        _check(part, url, sha256)
        os.replace(part, path)
    except OSError as error:
        raise KwsError(
            "cannot write %s: %s; %s; make room there, then run the same command again: it goes on from there"
            % (part, error.strerror or error, _kept(part, size))
        )
    return path


def _already_there(path, size):
    found = os.path.getsize(path)
    if found != size:
        raise KwsError(
            "%s is there already, but has %s bytes and the published archive %s; move it away to download that one"
            % (path, "{:,}".format(found), "{:,}".format(size))
        )
    say("%s is there already; nothing to download" % path)
    return path


def _fetch(url, part, size):
    """Fetch what `part` lacks of the `size` bytes at `url`, over as many connections as it takes."""
    tries = 0
    while _size(part) < size:
        before = _size(part)
        try:
            _fetch_rest(url, part, size)
        except _Lost as lost:
            tries = 1 if _size(part) > before else tries + 1
            if tries >= TRIES:
                raise KwsError(
                    "lost the connection to %s: %s; %s; run the same command again: it goes on from there"
                    % (url, lost, _kept(part, size))
                )
            say("connection lost: %s; %s; trying again" % (lost, _kept(part, size)))
            time.sleep(WAIT_SECONDS * 2 ** (tries - 1))


def _fetch_rest(url, part, size):
    """One connection: append to `part` what it lacks, or start over where the server cannot resume."""
    done = _size(part)
    with _connect(url, done) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        done = done if resumed else 0
        _check_length(response, url, size - done)
        what = "downloading %s" % os.path.basename(part)[: -len(".part")]
        mode = "ab" if resumed else "wb"
        with Progress(what, total=size, unit="B", initial=done) as progress, open(part, mode) as out:
            for chunk in _chunks(response, size - done):
                out.write(chunk)
                done += len(chunk)
                progress.update(len(chunk))
    if done < size:
        raise _Lost("the server closed it early")


def _connect(url, done):
    """The response to a request for everything after the first `done` bytes."""
    request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % done} if done else {})
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code == http.client.TOO_MANY_REQUESTS:
            raise _Lost("HTTP %d %s" % (error.code, error.reason))
        raise KwsError(
            "%s cannot be downloaded: HTTP %d %s; fetch it in another way and put it into the data folder"
            % (url, error.code, error.reason)
        )
    except (OSError, http.client.HTTPException) as error:
        raise _Lost(getattr(error, "reason", None) or error)


def _check_length(response, url, expected):
    found = response.headers.get("Content-Length")
    if found is not None and found.isdigit() and int(found) != expected:
        raise KwsError(
            "%s is not the published archive: the server offers %s bytes where %s are expected; download it elsewhere"
            % (url, "{:,}".format(int(found)), "{:,}".format(expected))
        )


def _chunks(response, left):
    """The body in pieces, at most `left` bytes of it."""
    while left:
        try:
            chunk = response.read(min(CHUNK_BYTES, left))
        except (OSError, http.client.HTTPException) as error:
            raise _Lost(str(error) or type(error).__name__)
        if not chunk:
            return
        left -= len(chunk)
        yield chunk


def _check(part, url, sha256):
    """Delete `part` and fail unless its SHA-256 is `sha256`."""
    digest = hashlib.sha256()
    with Progress("checking", total=_size(part), unit="B") as progress, open(part, "rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            digest.update(chunk)
            progress.update(len(chunk))
    if digest.hexdigest() != sha256:
        os.remove(part)
        raise KwsError(
            "what %s sent is damaged: its SHA-256 is %s, published is %s; it was deleted, run the same command again"
            % (url, digest.hexdigest(), sha256)
        )


def _size(part):
    return os.path.getsize(part) if os.path.exists(part) else 0


def _kept(part, size):
    return "%s of %s bytes are kept in %s" % ("{:,}".format(_size(part)), "{:,}".format(size), part)
