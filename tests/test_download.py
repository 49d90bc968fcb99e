"""The download, against a server on 127.0.0.1 that behaves in each of the ways servers do."""
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
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def fetch(server, folder, sha256=SHA256):
    return download("0.02", folder, url=server.url, sha256=sha256, size=len(BODY))


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_full_download(server, tmp_path):
    path = fetch(server, tmp_path / "new" / "folder")
    assert path == str(tmp_path / "new" / "folder" / NAME)
    assert content(path) == BODY
    assert [entry.name for entry in (tmp_path / "new" / "folder").iterdir()] == [NAME]
    assert server.ranges == [None]


def test_archive_at_hand_is_not_fetched_again(server, tmp_path, capsys):
    (tmp_path / NAME).write_bytes(BODY)
    assert fetch(server, tmp_path) == str(tmp_path / NAME)
    assert server.ranges == []
    assert "is there already; nothing to download" in capsys.readouterr().err


def test_another_archive_of_that_name_is_left_alone(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(KwsError, match="has 4 bytes and the published archive 300,000; move it away"):
        fetch(server, tmp_path)
    assert content(tmp_path / NAME) == b"mine"


def test_resumes_what_an_earlier_run_left(server, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(BODY[:123456])
    assert content(fetch(server, tmp_path)) == BODY
    assert server.ranges == ["bytes=123456-"]


def test_complete_part_is_only_checked(server, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(BODY)
    assert content(fetch(server, tmp_path)) == BODY
    assert server.ranges == []


def test_starts_over_where_the_server_cannot_resume(server, tmp_path):
    server.resumes = False
    (tmp_path / (NAME + ".part")).write_bytes(b"x" * 1000)
    assert content(fetch(server, tmp_path)) == BODY
    assert server.ranges == ["bytes=1000-"]


def test_resumes_over_connections_that_are_cut(server, tmp_path):
    server.carries = [1000] * 8 + [None]
    assert content(fetch(server, tmp_path)) == BODY
    assert server.ranges == [None] + ["bytes=%d-" % (1000 * n) for n in range(1, 9)]


def test_gives_up_and_says_what_is_kept(server, tmp_path):
    server.carries = [5000, 0]
    with pytest.raises(KwsError) as raised:
        fetch(server, tmp_path)
    part = tmp_path / (NAME + ".part")
    assert str(raised.value) == (
        "lost the connection to %s: the server closed it early; 5,000 of 300,000 bytes are kept in %s; "
        "run the same command again: it goes on from there" % (server.url, part)
    )
    assert content(part) == BODY[:5000]
    assert len(server.ranges) == module.TRIES
    server.carries = [None]
    assert content(fetch(server, tmp_path)) == BODY


def test_wrong_hash_deletes_the_part_and_names_both(server, tmp_path):
    with pytest.raises(KwsError) as raised:
        fetch(server, tmp_path, sha256="0" * 64)
    assert "SHA-256 is %s, published is %s" % (SHA256, "0" * 64) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_file_of_another_length_is_refused_before_it_is_fetched(server, tmp_path):
    server.body = b"<html>Please log in</html>"
    with pytest.raises(KwsError, match="offers 26 bytes where 300,000 are expected"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_an_error_at_once(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(KwsError, match="HTTP 404 Not Found"):
        fetch(server, tmp_path)
    assert len(server.ranges) == 1


def test_server_that_is_busy_is_asked_again(server, tmp_path):
    server.statuses = [503, 429]
    assert content(fetch(server, tmp_path)) == BODY
    assert len(server.ranges) == 3


def test_no_server(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(KwsError, match="Connection refused; 0 of 300,000 bytes are kept"):
        fetch(server, tmp_path)


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

    monkeypatch.setattr(module, "open", Full, raising=False)
    with pytest.raises(KwsError, match="No space left on device; 700 of 300,000 bytes are kept"):
        fetch(server, tmp_path)
    monkeypatch.undo()
    assert content(fetch(server, tmp_path)) == BODY
    assert server.ranges == [None, "bytes=700-"]


def test_folder_that_is_a_file(server, tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(KwsError, match="cannot write"):
        fetch(server, tmp_path / "data")


def test_unknown_version(tmp_path):
    with pytest.raises(KwsError, match="no Speech Commands version 3; choose 0.01 or 0.02"):
        download("3", tmp_path)


def test_published_archives():
    assert module.ARCHIVES["0.02"][:2] == (NAME, 2428923189)
    assert all(len(sha256) == 64 and size > 10 ** 9 for _, size, sha256 in module.ARCHIVES.values())
