"""The cores that a process may use, on Linux and on systems that cannot choose them."""
import os
import subprocess
import sys

import pytest

from kwscli.workers import cores

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def test_the_usable_cores_are_those_of_the_system():
    if not cores.can_choose():
        pytest.skip("this system cannot say which cores a process may use")
    assert cores.usable() == sorted(os.sched_getaffinity(0))


def test_a_process_keeps_to_the_cores_it_is_given():
    if not cores.can_choose():
        pytest.skip("this system cannot keep a process to a core")
    last = cores.usable()[-1]
    code = "from kwscli.workers import cores; cores.keep_to([%d]); print(cores.usable())" % last
    environ = dict(os.environ, PYTHONPATH=ROOT)
    assert subprocess.check_output([sys.executable, "-c", code], env=environ).decode().split() == ["[%d]" % last]


@pytest.mark.parametrize("count, expected", [(4, [0, 1, 2, 3]), (None, [0])])
def test_all_cores_are_usable_on_a_system_that_cannot_choose(monkeypatch, count, expected):
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cores.usable() == expected
    cores.keep_to([0])  # does nothing
