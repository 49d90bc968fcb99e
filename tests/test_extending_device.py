"""A device from outside the package: one subclass and one entry in the table, then `kws train` knows it."""
import os
import subprocess
import sys

from test_train import arguments, assert_same_run, data  # noqa: F401  (data is a fixture)

TESTS = os.path.dirname(os.path.abspath(__file__))
DEVICE = """
from kwscli.devices.cpu import CPU

class Dummy(CPU):
    kind, title = "dummy", "the dummy"

    def notes(self, settings):
        return super().notes(settings) + ["The dummy has a note."]
"""
PROGRAM = """
import sys
from kwscli import devices

devices.DEVICES["dummy"] = "dummy_device:Dummy"
from kwscli import cli

sys.argv = ["kws"] + sys.argv[1:]
cli.main()
"""


def kws(folder, *args):
    """Run `kws` in a process that adds a device to it -> (exit status, stdout and stderr)."""
    (folder / "dummy_device.py").write_text(DEVICE)
    environ = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), os.path.dirname(TESTS)]))
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *map(str, args)], env=environ, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, universal_newlines=True,
    )
    return child.returncode, child.stdout


def test_a_device_from_outside_trains(data, tmp_path):  # noqa: F811
    status, output = kws(tmp_path, *arguments(data, tmp_path / "run", "--device", "dummy"))
    assert status == 0, output
    assert "The dummy has a note." in output and "on the dummy" in output
    status, output = kws(tmp_path, *arguments(data, tmp_path / "cpu", "--device", "cpu"))
    assert status == 0, output
    assert_same_run(tmp_path / "run", tmp_path / "cpu")


def test_its_name_is_a_choice_of_the_option(tmp_path):
    assert "[auto|npu|gpu|cpu|dummy]" in kws(tmp_path, "train", "--help")[1]
    status, output = kws(tmp_path, "train", "--device", "dumb")
    assert status == 2 and "'dummy'" in output
