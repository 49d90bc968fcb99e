"""Every kind of model file listens: the settings of the detector travel with it, and a stream has its scores."""
import json

import numpy as np
import pytest
from test_freeze import KEYWORDS, write_run
from test_listen import in_blocks, noise, stream_scores, window_scores

from kwscli import classifiers
from kwscli.export import freeze as freezing
from kwscli.labels import labels_of
from kwscli.runs.description import read_description
from kwscli.settings import DetectorSettings

SETTINGS = DetectorSettings(stride_ms=100, threshold=0.6, thresholds=("yes=0.7",))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{kind of file: its path}."""
    run = tmp_path_factory.mktemp("run")
    write_run(run)
    path = run / "model.json"
    described = json.loads(path.read_text())
    assert described["detector"]["threshold"] == 0.9
    described["detector"].update(stride_ms=100, threshold=0.6, thresholds=["yes=0.7"])
    path.write_text(json.dumps(described))
    written = freezing.freeze(str(run), None, None, ("pb", "pb-features", "tflite"))
    return dict({one.format: one.path for one in written}, checkpoint=str(run))


@pytest.mark.parametrize("kind", ["checkpoint", "pb", "pb-features", "tflite"])
def test_a_stream_has_the_scores_of_its_windows(files, kind):
    samples = noise(16000 * 2 + 123)
    with classifiers.open(files[kind]) as model:
        assert model.detector == SETTINGS and model.labels == labels_of(KEYWORDS)
        assert model.takes_features == (kind != "pb")
        windows, scores = stream_scores(model, model.detector.stride_ms, in_blocks(samples, [1000, 1, 9000]))
        np.testing.assert_allclose(scores, window_scores(model, windows.stride_samples, samples), atol=1e-5)


def test_an_older_run_has_the_default_settings(files, tmp_path):
    with open(files["checkpoint"] + "/model.json") as file:
        described = json.load(file)
    del described["detector"]
    (tmp_path / "model.json").write_text(json.dumps(described))
    older = read_description(str(tmp_path / "model.json"))
    assert older.detector == DetectorSettings()
    assert not older.differences(read_description(files["checkpoint"] + "/model.json"))  # it may continue
