"""Predicted latencies: what they stand on, and how far they may be off."""
import json
import re

import pytest

from kwscli import boards, guides, models
from kwscli.errors import KwsError
from kwscli.models import costs

ENGINES = [(name, engine) for name, board in boards.BOARDS.items() for engine in board.engines]
IDS = ["%s %s" % (name, engine.name) for name, engine in ENGINES]


@pytest.mark.parametrize("name, engine", ENGINES, ids=IDS)
def test_a_network_that_was_not_used_is_predicted_within_30_percent(name, engine):
    assert abs(boards.error(boards.board(name), engine)) <= boards.LARGEST_ERROR


@pytest.mark.parametrize("name, engine", ENGINES, ids=IDS)
def test_the_published_latency_of_ds_cnn_s_is_the_prediction(name, engine, kws):
    told = json.loads(kws("models", "ds_cnn", "--board", name, "--json").stdout)[0]["latency_ms"]
    assert told[engine.name] == pytest.approx(1000 / engine.per_second["keyword spotting"], rel=0.01)


def test_the_multiplications_are_those_that_kws_counts():
    """The network of MLPerf Tiny has the shape of DS-CNN S, with 12 labels."""
    size = models.published("ds_cnn")
    net = costs.count("ds_cnn", size.model_size_info, costs.FeatureSettings(), 12)
    kinds = {"conv": "conv", "depthwise_conv": "separable", "pointwise_conv": "separable", "dense": "dense"}
    found = {}
    for layer in net.layers:
        if layer.macs:
            found[kinds[layer.kind]] = found.get(kinds[layer.kind], 0) + layer.macs
    assert found == boards.MLPERF_TINY["keyword spotting"]


def test_the_table_of_networks_has_a_column_for_each_engine(kws):
    result = kws("models", "--board", "nucleo-l4r5zi")
    heading, first = result.stdout.splitlines()[:2]
    assert "TFLM ms" in heading and "CMSIS-NN ms" in heading and first.startswith("dnn")
    assert "\nTFLM: 8.4 cycles per MAC of depthwise and pointwise convolutions, 6.8 of others" in result.stdout
    assert "is predicted 14 % too short." in result.stdout
    assert "ms" not in kws("models").stdout.splitlines()[0]


def test_an_unknown_board_is_told_with_those_that_are_known(kws):
    result = kws("models", "--board", "toaster")
    assert result.exit_code == KwsError.exit_status
    assert result.stderr == "Error: there are no published latencies of a board toaster; choose one of %s\n" % (
        ", ".join(boards.BOARDS)
    )


def test_the_guide_has_the_cycles_and_the_errors():
    rows = re.findall(r"^\| `(\S+)` \| (\S+) \| (.*) \|$", guides.read("boards"), re.M)
    expected = []
    for name, engine in ENGINES:
        board = boards.board(name)
        cycles = boards.cycles_per_mac(board, engine)
        figures = tuple(cycles[kind] for kind in ("separable", "conv", "dense")) + (100 * boards.error(board, engine),)
        expected.append((name, engine.name, "%.1f | %.1f | %.1f | %+.0f %%" % figures))
    assert rows == expected
