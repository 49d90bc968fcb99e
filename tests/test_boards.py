"""Predicted latencies: what they stand on, and how far they may be off."""
import json
import re

import numpy as np
import pytest

from kwscli import boards, guides, models
from kwscli.errors import KwsError
from kwscli.models import costs

ENGINES = [(name, engine) for name, board in boards.BOARDS.items() for engine in board.engines]
IDS = ["%s %s" % (name, engine.name) for name, engine in ENGINES]


@pytest.mark.parametrize("network", boards.PREDICTABLE)
@pytest.mark.parametrize("name, engine", ENGINES, ids=IDS)
def test_a_network_is_predicted_within_30_percent_of_its_published_latency(name, engine, network):
    assert 0 < abs(boards.error(boards.board(name), engine, network)) <= boards.LARGEST_ERROR


@pytest.mark.parametrize("name, engine", ENGINES, ids=IDS)
@pytest.mark.parametrize("network", boards.PREDICTABLE)
def test_a_prediction_solves_the_equations_of_the_other_networks(name, engine, network):
    """Cycles = multiplications x cycles per multiplication, for three networks and three kinds of layers."""
    kinds, others = ("dense", "conv", "separable"), [other for other in boards.MLPERF_TINY if other != network]
    macs = {one: [boards.MLPERF_TINY[one].get(kind, 0) for kind in kinds] for one in boards.MLPERF_TINY}
    seconds = np.linalg.solve([macs[one] for one in others], [1 / engine.per_second[one] for one in others])
    wanted = 1000 * np.dot(macs[network], seconds)
    assert boards.predicted(boards.board(name), engine, network) == pytest.approx(wanted)


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
    assert "keyword spotting is predicted 15 % too long and visual wake words is predicted 14 % too short." in (
        result.stdout
    )
    assert "ms" not in kws("models").stdout.splitlines()[0]


def test_an_unknown_board_is_told_with_those_that_are_known(kws):
    result = kws("models", "--board", "toaster")
    assert result.exit_code == KwsError.exit_status
    assert result.stderr == "Error: there are no published latencies of a board toaster; choose one of %s\n" % (
        ", ".join(boards.BOARDS)
    )


def table_of_the_guide(columns):
    """The rows of the table in kws guide boards whose first cell is a board and that has this number of columns."""
    rows = re.findall(r"^\| (`\S+` \|.*) \|$", guides.read("boards"), re.M)
    return [row for row in (re.split(r" +\| +", row) for row in rows) if len(row) == columns]


def test_the_guide_has_the_cycles():
    expected = []
    for name, engine in ENGINES:
        cycles = boards.cycles_per_mac(boards.board(name), engine)
        figures = ["%.1f" % cycles[kind] for kind in ("separable", "conv", "dense")]
        expected.append(["`%s`" % name, engine.name] + figures)
    assert table_of_the_guide(5) == expected


def test_the_guide_has_the_errors():
    expected = []
    for name, engine in ENGINES:
        board = boards.board(name)
        for network in boards.PREDICTABLE:
            latencies = boards.published(engine, network), boards.predicted(board, engine, network)
            off = "%+.0f %%" % (100 * boards.error(board, engine, network))
            expected.append(["`%s`" % name, engine.name, network] + ["%.1f" % one for one in latencies] + [off])
    assert table_of_the_guide(6) == expected
