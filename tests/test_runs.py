"""Run directories: when a run goes on, and how errors name what is wrong with one."""
import json
import shutil

import pytest
from test_train import STEP, arguments, break_off, data, losses, train  # noqa: F401  (data is a fixture)

from kwscli import flags
from kwscli.errors import KwsError
from kwscli.runs.description import read_description

pytest.importorskip("tensorflow.compat.v1")


def stopped_run(data, path, signal_number=15):  # noqa: F811
    status, stderr = break_off(data, path, STEP, 13, signal_number)
    assert status == 128 + signal_number, stderr


def test_a_run_goes_on_with_the_same_data_in_another_folder(data, tmp_path):  # noqa: F811
    stopped_run(data, tmp_path / "run")
    shutil.copytree(data, str(tmp_path / "moved"))
    result = train(str(tmp_path / "moved"), tmp_path / "run")
    assert result.exit_code == 0 and "Continuing after step 1" in result.output, result.output
    assert len([line for line in losses(tmp_path / "run") if line.startswith("Step #")]) == 30


def test_a_run_does_not_go_on_with_other_data(data, tones, tmp_path, kws):  # noqa: F811
    stopped_run(data, tmp_path / "run")
    other = tones(tmp_path / "other", words=("low", "middle", "high"), speakers=60)
    assert kws("prepare", "--data-path", other).exit_code == 0
    result = train(other, tmp_path / "run")
    assert result.exit_code == 1 and "contains a run with other settings (now data_path " in result.output


@pytest.mark.parametrize("error", [KwsError("it is broken", "replace it"), OSError(28, "full")])
def test_every_traceback_is_kept_where_it_is_asked_for(kws, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(flags, "_check_current_folder", fail)
    shown = kws("doctor")
    assert shown.exit_code == 1 and shown.stderr.startswith("Error: ") and len(shown.stderr.splitlines()) == 1
    monkeypatch.setenv("KWS_TRACEBACK", "1")
    with pytest.raises(type(error)):
        kws("doctor")


OLD_BC_RESNET = {
    "format": 1, "architecture": "bc_resnet", "model_size_info": [8], "labels": ["_silence_", "_unknown_", "yes"],
    "features": {"window_size_ms": 30.0, "window_stride_ms": 10.0, "dct_coefficient_count": 40,
                 "filterbank_channel_count": 40, "upper_edge_hertz": 7600.0},
    "data": {"wanted_words": ["yes"]}, "train": {}, "data_path": "", "data_sha256": "", "start_checkpoint": "",
    "versions": {},
}


@pytest.mark.parametrize("coefficients, features", [(40, "log_mel"), (20, None)])
def test_a_bc_resnet_from_before_there_were_log_mel_energies(tmp_path, coefficients, features):
    path = tmp_path / "model.json"
    described = dict(OLD_BC_RESNET, features=dict(OLD_BC_RESNET["features"], dct_coefficient_count=coefficients))
    path.write_text(json.dumps(described))
    if features:
        assert read_description(str(path)).features.features == features
        assert read_description(str(path)).features.shape == (98, 40)
    else:
        with pytest.raises(KwsError, match="fewer cepstral coefficients than mel filters, .*; train it again"):
            read_description(str(path))
