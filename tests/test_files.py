"""JSON that a user may have written or damaged, and folders that one process uses at a time."""
import errno
import fcntl as FCNTL
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from kwscli import files
from kwscli.errors import KwsError

DEEP = 100000
BROKEN = {
    "empty": (b"", "it is not JSON: Expecting value"),
    "cut off": (b'{"a": 1', "it is not JSON: Expecting ',' delimiter"),
    "text": (b"hello", "it is not JSON: Expecting value"),
    "two objects": (b"{} {}", "it is not JSON: Extra data"),
    "binary": (gzip.compress(b"{}"), "it is not "),
    "not UTF-8": (b'{"a": "caf\xe9"}', "it is not text"),
    "zeros": (bytes(512), "it is not "),
    "nested lists": (b"[" * DEEP + b"]" * DEEP, "it is nested too deeply"),
    "nested lists without an end": (b"[" * DEEP, "it is nested too deeply"),
    "nested objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "it is nested too deeply"),
    "nested inside": (b'{"a": ' + b"[" * DEEP + b"]" * DEEP + b"}", "it is nested too deeply"),
    "a long whole number": (b'{"a": ' + b"9" * DEEP + b"}", "it has a number of 100000 digits"),
    "a large whole number": (b'{"a": 9223372036854775808}', "it has a number of 19 digits"),
    "a large number": (b'{"a": -1e999}', "it has a number that is too large: -1e999"),
    "a list": (b"[1]", "it is not a JSON object {...}"),
    "a string": (b'"a"', "it is not a JSON object {...}"),
    "a number": (b"1", "it is not a JSON object {...}"),
    "null": (b"null", "it is not a JSON object {...}"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_json_is_an_error_with_the_place_and_advice(tmp_path, case):
    data, why = BROKEN[case]
    path = tmp_path / "a.json"
    path.write_bytes(data)
    for read, where in (
        (lambda: files.read_json(str(path), "write it again"), "%s is damaged: " % path),
        (lambda: files.parse_json(data, "$TF_CONFIG", "write it again"), "$TF_CONFIG cannot be used: "),
    ):
        with pytest.raises(KwsError) as error:
            read()
        assert error.value.problem.startswith(where + why) and error.value.advice == "write it again"
        assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_file_without_an_end_is_an_error():
    with pytest.raises(KwsError, match="/dev/zero is damaged: it has more than"):
        files.read_json("/dev/zero", "write it again")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.read_json(str(tmp_path / "none.json"), "write it again")
    with pytest.raises(IsADirectoryError):
        files.read_json(str(tmp_path), "write it again")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_whole_json_is_read_as_it_is(tmp_path, encoding):
    value = {"é": [1, -2.5, None, True, {"loss": 1e300}], "": 10 ** 17}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
    assert files.read_json(str(path), "write it again") == value
    assert files.parse_json(json.dumps(value), "--options", "write it again") == value


HOLDER = """
import sys, time
from kwscli import files
with files.only_one(sys.argv[1], "is preparing"):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has locked the folder."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=here)) as child:
        assert child.stdout.readline() == b"locked\n"
        yield child
        child.kill()


def test_a_second_process_is_refused_at_once(holder, tmp_path):
    began = time.monotonic()
    with pytest.raises(KwsError, match="^another process is preparing %s; wait for it to end, or choose" % tmp_path):
        with files.only_one(str(tmp_path), "is preparing"):
            pytest.fail("two processes at once")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_lock_ends_with_its_process_however_it_ends(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    with files.only_one(str(tmp_path), "is preparing"):
        pass


def test_a_second_process_can_wait(holder, tmp_path):
    entered = threading.Event()

    def wait():
        with files.only_one(str(tmp_path), "is preparing", wait=True):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(0.3)
    holder.kill()
    assert entered.wait(30)
    waiting.join()


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EIO, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_an_error(tmp_path, monkeypatch, code, wait):
    def refuse(file, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with pytest.raises(KwsError, match="^cannot lock %s: %s; choose a folder" % (tmp_path, os.strerror(code))):
        with files.only_one(str(tmp_path), "is preparing", wait):
            pytest.fail("not locked")


class Msvcrt:
    """The locks of Windows, as the module of Python there has them, on top of those of this system."""

    LK_NBLCK = 2

    @staticmethod
    def locking(number, mode, count):
        assert (mode, count) == (Msvcrt.LK_NBLCK, 1) and os.lseek(number, 0, os.SEEK_CUR) == 0
        try:
            FCNTL.flock(number, FCNTL.LOCK_EX | FCNTL.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", Msvcrt, raising=False)


def test_a_folder_is_locked_on_windows_too(windows, holder, tmp_path):
    with pytest.raises(KwsError, match="^another process is preparing"):
        with files.only_one(str(tmp_path), "is preparing"):
            pytest.fail("two processes at once")
    threading.Timer(0.5, holder.kill).start()
    with files.only_one(str(tmp_path), "is preparing", wait=True):
        assert holder.wait() == -signal.SIGKILL


def test_kws_starts_without_the_modules_of_unix():
    """In a new process, because modules are imported once."""
    code = "import subprocess, sys, types; sys.modules.update(fcntl=None, msvcrt=types.ModuleType('msvcrt')); " \
        "import kwscli.cli, kwscli.files, kwscli.data.prepare, kwscli.evaluation; assert not kwscli.files.fcntl"
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    subprocess.run([sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=here), check=True)


def test_a_folder_is_made_and_unlocked_at_the_end(tmp_path):
    for _ in range(2):
        with files.only_one(str(tmp_path / "new" / "folder"), "is preparing"):
            assert os.listdir(str(tmp_path / "new" / "folder")) == [".lock"]
