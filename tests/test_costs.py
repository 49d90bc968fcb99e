"""What networks cost: the published table, and the counts against each other."""
import json
import subprocess
import sys

import pytest

from kwscli import list_models
from kwscli.errors import KwsError
from kwscli.models import ARCHITECTURES, Size, chosen, costs, custom, load, published
from kwscli.sound.feature_settings import FEATURES, FeatureSettings

# Hello Edge, arXiv 1711.07128, computed from its layer sizes: weights and biases, MACs, bytes of 8-bit weights and of
# the two largest tensors alive; then the KB and the operations (2 x MACs) that the paper prints.
HELLO_EDGE = {
    ("dnn", "s"): (79644, "79.2K", 80038, 80.0, "158.8K"),
    ("dnn", "m"): (198924, "198.1K", 199436, 199.4, "397.1K"),
    ("dnn", "l"): (495744, "494.4K", 496616, 496.6, "990.2K"),
    ("cnn", "s"): (69238, "2.50M", 78998, 79.0, "5.0M"),
    ("cnn", "m"): (178444, "8.63M", 199436, 199.4, "17.3M"),
    ("cnn", "l"): (476206, "12.64M", 497870, 497.8, "25.3M"),
    ("basic_lstm", "s"): (62316, "2.96M", 63278, 63.3, "5.9M"),
    ("basic_lstm", "m"): (195180, "9.40M", 196526, 196.5, "18.9M"),
    ("basic_lstm", "l"): (492620, "23.87M", 494486, 494.5, "47.9M"),
    ("lstm", "s"): (78516, "1.91M", 79440, 79.5, "3.9M"),
    ("lstm", "m"): (196732, "9.47M", 198472, 198.6, "19.2M"),
    ("lstm", "l"): (495768, "24.01M", 498446, 498.8, "48.4M"),
    ("gru", "s"): (78090, "1.90M", 78802, 78.8, "3.8M"),
    ("gru", "m"): (198762, "9.56M", 200002, 200.0, "19.2M"),
    ("gru", "l"): (498012, "24.11M", 499702, 499.7, "48.4M"),
    ("crnn", "s"): (75432, "1.50M", 79762, 79.7, "3.0M"),
    ("crnn", "m"): (189032, "3.80M", 199762, 199.8, "7.6M"),
    ("crnn", "l"): (485004, "9.63M", 499494, 499.5, "19.3M"),
    ("ds_cnn", "s"): (22604, "2.66M", 38604, 38.6, "5.4M"),
    ("ds_cnn", "m"): (135032, "9.82M", 189212, 189.2, "19.8M"),
    ("ds_cnn", "l"): (410700, "28.33M", 497640, 497.6, "56.9M"),
}
EVERY_SIZE = [(architecture, size) for architecture in ARCHITECTURES for size in load(architecture).SIZES]


def counted(architecture, size, label_count=12, **features):
    entry = published(architecture, size)
    settings = FeatureSettings(**dict(entry.feature_settings, **features))
    return costs.count(architecture, entry.model_size_info, settings, label_count)


@pytest.mark.parametrize("architecture, size", sorted(HELLO_EDGE))
def test_published_table(architecture, size):
    parameters, macs, memory_bytes, paper_kilobytes, paper_operations = HELLO_EDGE[architecture, size]
    net = counted(architecture, size)
    printed = "%.1fK" % (net.macs / 1e3) if macs.endswith("K") else "%.2fM" % (net.macs / 1e6)
    assert (net.parameters, printed, net.memory_bytes) == (parameters, macs, memory_bytes)
    # The paper rounds, and counts a little more than products in its operations.
    assert net.memory_bytes / 1e3 == pytest.approx(paper_kilobytes, rel=0.001)
    operations = float(paper_operations[:-1]) * {"K": 1e3, "M": 1e6}[paper_operations[-1]]
    assert 2 * net.macs == pytest.approx(operations, rel=0.025)


def test_bc_resnet_has_the_parameters_of_its_paper():
    """arXiv 2106.04140, table 3, where batch norm's factors are not folded: 36 for each channel of the first stage."""
    paper = {"1": 9.2, "1.5": 17.2, "2": 27.3, "3": 54.2, "6": 188, "8": 321}
    for size, thousands in paper.items():
        base = published("bc_resnet", size).model_size_info[0]
        unfolded = (counted("bc_resnet", size).parameters + 36 * base) / 1e3
        assert unfolded == pytest.approx(thousands, abs=0.5 if thousands > 100 else 0.05)


def test_ds_tc_resnet_has_the_parameters_of_matchboxnet():
    """arXiv 2004.08531: 64 coefficients, 30 labels, and batch norm's factors not folded."""
    for (blocks, repeats, channels), thousands in {(3, 1, 64): 77, (3, 2, 64): 93, (6, 2, 64): 140}.items():
        net = counted("ds_tc_resnet", "%dx%dx%d" % (blocks, repeats, channels), 30, dct_coefficient_count=64)
        factors = 3 * 128 + blocks * (repeats + 1) * channels
        assert (net.parameters + factors) / 1e3 == pytest.approx(thousands, rel=0.01)


@pytest.mark.parametrize("architecture, size", EVERY_SIZE)
def test_layers_add_up(architecture, size):
    net = counted(architecture, size)
    assert net.layers[-1].output_shape == (12,)
    assert net.parameters == sum(layer.weights + layer.biases for layer in net.layers)
    assert net.macs >= net.weights  # every weight meets an activation at least once
    assert net.float32_bytes == 4 * net.parameters >= net.int8_bytes >= net.parameters
    assert net.activation_bytes >= max(layer.activations for layer in net.layers)


def test_a_shortcut_stays_alive_until_it_is_added():
    net = costs.CostLayers()
    x = net.input((10, 1, 4))
    y = net.conv(x, 4, (1, 1))
    net.add(net.conv(y, 4, (1, 1)), x)
    assert net.activation_bytes == 3 * 40


def test_the_size_of_given_integers():
    assert custom("lstm", (98, 144)) == published("lstm", "s")
    assert custom("lstm", [98, 145]) == Size((98, 145))  # its sizes share no feature setting
    assert custom("dnn", (9,)).feature_settings == {"window_stride_ms": 40.0}
    assert custom("bc_resnet", (10,)).feature_settings["features"] == "log_mel"


def test_a_name_and_integers_for_one_size_are_refused():
    assert chosen("lstm", "m") == published("lstm", "m") == chosen("lstm", None, (130, 280))
    assert chosen("lstm") == published("lstm", "s")
    for choose in (chosen, list_models.report):
        with pytest.raises(KwsError, match="--model-size and --model-size-info both choose .*; give one of them"):
            choose("lstm", "m", (98, 144))


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_takes_every_kind_of_features(architecture, kind):
    net = counted(architecture, "s", features=kind)
    assert net.layers[-1].output_shape == (12,)


def test_sizes_by_the_names_of_the_paper_and_by_letter():
    assert published("bc_resnet", "3") is published("bc_resnet", "m")
    for architecture in ARCHITECTURES:
        assert published(architecture) == published(architecture, "s")


@pytest.mark.parametrize(
    "architecture, size, words",
    [
        ("ds_cn", "s", ["ds_cn", "choose one of", "ds_cnn", "bc_resnet"]),
        ("gru", "xl", ["gru", "xl", "s, m, l"]),
        ("bc_resnet", "7", ["bc_resnet", "7", "1, 1.5, 2, 3, 6, 8, s, m, l"]),
    ],
)
def test_unknown_names(architecture, size, words):
    with pytest.raises(KwsError) as error:
        published(architecture, size)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "architecture, integers, words",
    [
        ("dnn", (), ["takes 1 integer", "units of layer 1", "found 0"]),
        ("dnn", (144, 0), ["greater than zero", "units of layer 2", "144 0"]),
        ("cnn", (28, 10), ["takes 12 integer", "kernel height", "units of the linear layer", "found 2 (28 10)"]),
        ("basic_lstm", (1, 2), ["takes 1 integer", "memory cells", "found 2"]),
        ("lstm", (98,), ["takes 2 integer", "projection, memory cells", "found 1"]),
        ("gru", (1, 2, 3), ["takes 2 integer", "layers", "found 3"]),
        ("crnn", (48,), ["takes 8 integer", "recurrent layers", "found 1"]),
        ("ds_cnn", (5, 64), ["number of convolutions", "stride in frequency", "1 + 5 x 5", "found 2"]),
        ("ds_cnn", (1, 64, 10, 4, 0, 2), ["greater than zero", "0"]),
        ("ds_cnn", (), ["number of convolutions", "found 0"]),
        ("ds_tc_resnet", (3, 64), ["residual blocks", "found 2"]),
        ("bc_resnet", (8, 8), ["8 tau", "found 2"]),
        ("single_fc", (8,), ["takes 0 integer", "found 1"]),
        ("conv", (8,), ["takes 6 integer", "kernel width", "found 1"]),
        ("low_latency_conv", (-1, 8, 8, 8), ["takes 4 integers", "found 4 (-1 8 8 8)"]),
        ("low_latency_svdf", (), ["takes 4 integer", "rank", "found 0"]),
        ("tiny_conv", (), ["takes 5 integer", "filters", "found 0"]),
    ],
)
def test_integers_that_make_no_network(architecture, integers, words):
    settings = FeatureSettings(**custom(architecture, integers).feature_settings)
    with pytest.raises(KwsError) as error:
        costs.count(architecture, integers, settings, 12)
    message = str(error.value)
    assert architecture in message and all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "architecture, features, words",
    [
        ("cnn", {"dct_coefficient_count": 5}, ["nothing", "conv_2", "10 x 4", "40 x 2"]),
        ("crnn", {"window_stride_ms": 200.0}, ["nothing", "conv_1", "10 x 4", "5 x 10"]),
        ("low_latency_conv", {"dct_coefficient_count": 7}, ["nothing", "conv_1", "98 x 7"]),
        (
            "bc_resnet",
            {"filterbank_channel_count": 24},
            ["stage_1_block_1", "5 bands", "12 frequencies", "another number of channels", "kws models NAME"],
        ),
    ],
)
def test_features_that_do_not_fit(architecture, features, words):
    with pytest.raises(KwsError) as error:
        counted(architecture, "s", **features)
    message = str(error.value)
    assert all(word in message for word in words) and "\n" not in message, message


def test_rows():
    rows = list_models.rows()
    assert [(row["architecture"], row["size"]) for row in rows] == EVERY_SIZE
    by_name = {(row["architecture"], row["size"]): row for row in rows}
    for name, (parameters, _, memory_bytes, _, _) in HELLO_EDGE.items():
        assert (by_name[name]["parameters"], by_name[name]["memory_bytes"]) == (parameters, memory_bytes)
        assert 84 < by_name[name]["paper_accuracy"] < 96 and "1711.07128" in by_name[name]["source"]
    assert all(row["parameters"] + row["activation_bytes"] == row["memory_bytes"] for row in rows)


def test_keywords_and_features_change_the_rows():
    small = list_models.row("ds_cnn", "s", published("ds_cnn"), label_count=4)
    assert small["parameters"] == 22604 - 8 * 65
    wide = list_models.row("dnn", "s", published("dnn"), overrides={"window_stride_ms": 20.0})
    assert wide["parameters"] == 79644 + 24 * 10 * 144
    rows = list_models.rows(overrides={"dct_coefficient_count": 3})
    assert [row["architecture"] for row in rows if "shrinks to nothing" in row.get("error", "")][:3] == 3 * ["cnn"]


def test_reports():
    everything = json.loads(list_models.report(as_json=True))
    keys = "architecture size model_size_info parameters macs memory_bytes paper_accuracy"
    assert all(set(keys.split()) <= set(row) for row in everything)
    assert [layer["parameters"] for layer in json.loads(list_models.report("dnn", as_json=True))[0]["layers"]] == [
        36144,
        20880,
        20880,
        1740,
    ]
    text = list_models.report("lstm", model_size_info=(98, 144))
    assert "78,516" in text and "features: mfcc, 25 frames (40 ms every 40 ms) of 10 channels, 20 to 4000 Hz" in text
    assert "features: log_mel, 98 frames (30 ms every 10 ms) of 40 channels" in list_models.report("bc_resnet")
    few = {"features": "log_mel", "filterbank_channel_count": 3}
    assert "shrinks to nothing in conv_1" in list_models.report(overrides=few)
    assert "38,604" in list_models.report() and "memory" in list_models.report()
    with pytest.raises(KwsError, match="kws models NAME"):
        list_models.report(size="m")


def test_counting_needs_no_tensorflow():
    code = "import sys; from kwscli import list_models; list_models.report(); assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
