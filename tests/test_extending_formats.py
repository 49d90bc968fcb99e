"""A model file and an export format that are added from outside the package go through every command."""
import json
import os
import subprocess
import sys

import pytest
from test_freeze import write_run

from kwscli.export import FORMATS

pytest.importorskip("tensorflow.compat.v1")

PLUGIN = '''
"""A format of its own: a frozen graph under another name."""
from kwscli import classifiers, export

classifiers.BY_SUFFIX[".other"] = "plugin"
export.FORMATS["other"] = "plugin"
SUFFIX, SUMMARY = "_small.other", "samples -> scores"


def write(path, description, prefix):
    from kwscli.export import pb

    pb.write(path, description, prefix)


def open_model(path, labels_path=None):
    from kwscli.classifiers import frozen_graph

    return frozen_graph.open_model(path, labels_path)
'''


@pytest.fixture
def kws_with_plugin(tmp_path):
    """kws_with_plugin("freeze", ...): the command line in a process that imports the plugin first -> its stdout."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    paths = [str(tmp_path), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

    def run(*arguments):
        return subprocess.check_output(
            [sys.executable, "-W", "ignore", "-c", "import plugin; from kwscli.cli import main; main()",
             *map(str, arguments)],
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)), cwd=str(tmp_path),
        ).decode()

    return run


def test_a_format_and_a_model_file_from_outside(kws_with_plugin, tones, tmp_path):
    run = write_run(tmp_path / "run")
    recordings = tones(tmp_path / "recordings", words=("yes", "no"), speakers=4, background=False)
    assert "other" in kws_with_plugin("freeze", "--help")
    written = kws_with_plugin("freeze", "--checkpoint", run, "--format", "other", "--output", tmp_path / "net.pb")
    path = tmp_path / "net_small.other"
    assert written.startswith("%s  samples -> scores, " % path) and path.exists()
    assert not (tmp_path / "net.pb").exists()
    told = [json.loads(kws_with_plugin("eval", "--checkpoint", one, "--data-path", recordings, "--json"))
            for one in (path, run)]
    assert told[0]["confusion"] == told[1]["confusion"]
    clip = recordings + "/yes/00000000_nohash_0.wav"
    heard = [json.loads(kws_with_plugin("label", clip, "--checkpoint", one, "--json"))[0] for one in (path, run)]
    assert heard[0]["scores"] == pytest.approx(heard[1]["scores"], abs=1e-4)


def test_an_unknown_format_is_told_before_any_work(tmp_path, kws):
    result = kws("freeze", "--checkpoint", tmp_path / "nowhere", "--format", "pb,floppy")
    assert result.exit_code == 1
    assert result.stderr == "Error: there is no format floppy; choose from %s, all\n" % ", ".join(FORMATS)
