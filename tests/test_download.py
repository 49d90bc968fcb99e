"""Downloads from a server on 127.0.0.1 that behaves, in turn, in each way that servers do."""
import errno
import hashlib
import http.server
import threading

import numpy as np
import pytest

from kwscli.data import download as module
from kwscli.data.download import download
from kwscli.errors import KwsError

BODY = np.random.RandomState(0).bytes(300000)
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = "speech_commands_v0.02.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        status = server.statuses.pop(0) if server.statuses else 200
        if status != 200:
            return self.send_error(status)
        start = int(asked[len("bytes="):-1]) if asked and server.resumes else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(server.body) - 1, len(server.body)))
        self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        # How much each connection carries before it is cut; the last entry holds for all that follow.
        carries = server.carries.pop(0) if len(server.carries) > 1 else server.carries[0]
        self.wfile.write(server.body[start:][:carries])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "WAIT_SECONDS", 0)
    found = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    found.body, found.ranges, found.statuses, found.carries, found.resumes = BODY, [], [], [None], True
    found.url = "http://127.0.0.1:%d/%s" % (found.server_port, NAME)
    monkeypatch.setattr(module, "ADDRESS", found.url[: -len(NAME)])
    monkeypatch.setitem(module.ARCHIVES, "0.02", module.Published(NAME, len(BODY), SHA256))
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def fetch(folder):
    return download("0.02", folder)


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_full_download(server, tmp_path):
    path = fetch(tmp_path / "new" / "folder")
    assert path == str(tmp_path / "new" / "folder" / NAME)
    assert content(path) == BODY
    assert [entry.name for entry in (tmp_path / "new" / "folder").iterdir()] == [NAME]
    assert server.ranges == [None]


def test_archive_at_hand_is_not_fetched_again(server, tmp_path, capsys):
    (tmp_path / NAME).write_bytes(BODY)
    assert fetch(tmp_path) == str(tmp_path / NAME)
    assert server.ranges == []
    assert "exists already; nothing to download" in capsys.readouterr().err


def test_another_archive_of_that_name_is_left_alone(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(KwsError, match="has 4 bytes instead of the published 300,000; move it away"):
        fetch(tmp_path)
    assert content(tmp_path / NAME) == b"mine"


def test_resumes_what_an_earlier_run_left(server, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(BODY[:123456])
    assert content(fetch(tmp_path)) == BODY
    assert server.ranges == ["bytes=123456-"]


def test_complete_part_is_only_checked(server, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(BODY)
    assert content(fetch(tmp_path)) == BODY
    assert server.ranges == []


def test_starts_over_where_the_server_cannot_resume(server, tmp_path):
    server.resumes = False
    (tmp_path / (NAME + ".part")).write_bytes(b"x" * 1000)
    assert content(fetch(tmp_path)) == BODY
    assert server.ranges == ["bytes=1000-"]


def test_resumes_over_connections_that_are_cut(server, tmp_path):
    server.carries = [1000] * 8 + [None]
    assert content(fetch(tmp_path)) == BODY
    assert server.ranges == [None] + ["bytes=%d-" % (1000 * n) for n in range(1, 9)]


def test_gives_up_and_says_what_is_kept(server, tmp_path):
    server.carries = [5000, 0]
    with pytest.raises(KwsError) as raised:
        fetch(tmp_path)
    part = tmp_path / (NAME + ".part")
    assert str(raised.value) == (
        "lost the connection to %s: the server closed it early; 5,000 of 300,000 bytes are kept in %s; "
        "run the same command again to resume the download" % (server.url, part)
    )
    assert content(part) == BODY[:5000]
    assert len(server.ranges) == module.TRIES
    server.carries = [None]
    assert content(fetch(tmp_path)) == BODY


def test_wrong_hash_deletes_the_part_and_names_both(server, tmp_path, monkeypatch):
    monkeypatch.setitem(module.ARCHIVES, "0.02", module.Published(NAME, len(BODY), "0" * 64))
    with pytest.raises(KwsError) as raised:
        fetch(tmp_path)
    assert "SHA-256 is %s instead of %s" % (SHA256, "0" * 64) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_file_of_another_length_is_refused_before_it_is_fetched(server, tmp_path):
    server.body = b"<html>Please log in</html>"
    with pytest.raises(KwsError, match="offers 26 bytes instead of 300,000"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_not_tried_again(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(KwsError, match="HTTP 404 Not Found"):
        fetch(tmp_path)
    assert len(server.ranges) == 1


def test_server_that_is_busy_is_asked_again(server, tmp_path):
    server.statuses = [503, 429]
    assert content(fetch(tmp_path)) == BODY
    assert len(server.ranges) == 3


def test_no_server(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(KwsError, match="Connection refused; 0 of 300,000 bytes are kept"):
        fetch(tmp_path)


def test_full_disk_keeps_the_part(server, tmp_path, monkeypatch):
    class Full:
        def __init__(self, path, mode):
            self._file = open(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

        def write(self, chunk):
            self._file.write(chunk[:700])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full, pytest.raises(KwsError, match="on device; 700 of 300,000 bytes are kept"):
        full.setattr(module, "open", Full, raising=False)
        fetch(tmp_path)
    assert content(fetch(tmp_path)) == BODY
    assert server.ranges == [None, "bytes=700-"]


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(KwsError, match="cannot write"):
        fetch(tmp_path / "data")


def test_unknown_version(tmp_path):
    with pytest.raises(KwsError, match="there is no version 3 of Speech Commands; choose 0.01 or 0.02"):
        download("3", tmp_path)


def test_published_archives():
    assert module.ARCHIVES["0.02"][:2] == (NAME, 2428923189)
    assert module.ARCHIVES["0.02"].url == (
        "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
    )
    assert all(len(one.sha256) == 64 and one.size > 10 ** 9 for one in module.ARCHIVES.values())
