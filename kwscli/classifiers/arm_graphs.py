"""The weights in the graphs of ARM's ML-KWS-for-MCU, under the names that our networks give them."""
import re
from typing import Dict, Optional

import numpy as np


def in_our_names(theirs: Dict[str, np.ndarray]) -> Optional[Dict[str, np.ndarray]]:
    """{name: value} of the constants in a graph -> {name of our variable: value}; None for any other graph."""
    for architecture, (mark, layers_of) in _LAYERS.items():
        if mark in theirs:
            try:
                layers = layers_of(theirs)
            except KeyError:  # the graph of another program has a constant of this name
                continue
            return {
                "%s/%s/%s" % (architecture, layer, name): value
                for layer, parts in layers.items() for name, value in parts.items()
            }
    return None


def _dense(theirs, weights, biases):
    return {"weights": theirs[weights], "biases": theirs[biases]}


def _norm(theirs, scope, weights, biases):
    """A layer with its batch norm; the bias of the layer moves into the average that the norm subtracts."""
    moved = {"weights": theirs[weights], "moving_mean": theirs[scope + "/moving_mean"] - theirs[biases]}
    moved.update({name: theirs["%s/%s" % (scope, name)] for name in ("beta", "moving_variance")})
    moved.update({"gamma": theirs[scope + "/gamma"]} if scope + "/gamma" in theirs else {})
    return moved


def _lstm(theirs, scope):
    """An LSTM cell of TensorFlow; it opens the forget gate by adding 1, ours has that in the bias."""
    kernel, bias = theirs[scope + "/kernel"], theirs[scope + "/bias"]
    units = len(bias) // 4
    projection = theirs.get(scope + "/projection/kernel")
    inputs = len(kernel) - (units if projection is None else projection.shape[1])
    moved = {
        "input_weights": kernel[:inputs],
        "recurrent_weights": kernel[inputs:],
        "biases": bias + np.repeat(np.array([0, 0, 1, 0], bias.dtype), units),
    }
    if projection is not None:
        moved["projection_weights"] = projection
        for gate in ("input", "forget", "output"):
            moved["peephole_" + gate] = theirs["%s/w_%s_diag" % (scope, gate[0])]
    return moved


def _grus(theirs):
    """{"gru/layer_1": the weights of the first layer, ...}."""
    cells = {re.match(r"rnn/multi_rnn_cell/cell_(\d+)/gru_cell/gates/kernel$", name) for name in theirs} - {None}
    return {"gru/layer_%d" % (int(cell.group(1)) + 1): _gru(theirs, int(cell.group(1))) for cell in cells}


def _gru(theirs, layer):
    gates, candidate = ["rnn/multi_rnn_cell/cell_%d/gru_cell/%s/" % (layer, part) for part in ("gates", "candidate")]
    parts = theirs[gates + "kernel"], theirs[candidate + "kernel"]
    inputs = len(parts[1]) - parts[1].shape[1]
    return {
        "input_weights": np.concatenate([part[:inputs] for part in parts], axis=1),
        "gate_weights": parts[0][inputs:],
        "candidate_weights": parts[1][inputs:],
        "biases": np.concatenate([theirs[gates + "bias"], theirs[candidate + "bias"]]),
    }


def _dnn(theirs):
    layers = [name[: -len("/W")] for name in theirs if re.match(r"fc\d+/W$", name)]
    return dict({layer: _dense(theirs, layer + "/W", layer + "/b") for layer in layers},
                logits=_dense(theirs, "final_fc", "Variable"))


def _cnn(theirs):
    return {
        "conv_1": _norm(theirs, "bn1", "Variable", "Variable_1"),
        "conv_2": _norm(theirs, "bn2", "Variable_2", "Variable_3"),
        "linear": _dense(theirs, "W", "b"),
        "fc1": _norm(theirs, "bn3", "Variable_4", "Variable_5"),
        "logits": _dense(theirs, "Variable_6", "Variable_7"),
    }


def _crnn(theirs):
    return dict(
        _grus(theirs), conv_1=_dense(theirs, "W", "Variable"), fc1=_dense(theirs, "fcw", "Variable_1"),
        logits=_dense(theirs, "Variable_2", "Variable_3"),
    )


def _ds_cnn(theirs):
    first = "MobileNet/conv_1/"
    moved = {"conv_1": _norm(theirs, first + "batch_norm", first + "weights", first + "biases")}
    layers = [name.split("/")[1] for name in theirs if re.match(r"MobileNet/conv_ds_\d+/dw_batch_norm/beta$", name)]
    for layer in layers:
        scope = "MobileNet/" + layer
        for ours, conv, prefix, weights in (
            ("depthwise", "depthwise_conv", "dw", "depthwise_weights"),
            ("pointwise", "pointwise_conv", "pw", "weights"),
        ):
            conv = "%s/%s/" % (scope, conv)
            moved["%s/%s" % (layer, ours)] = _norm(
                theirs, "%s/%s_batch_norm" % (scope, prefix), conv + weights, conv + "biases"
            )
    return dict(moved, fc1=_dense(theirs, "MobileNet/fc1/weights", "MobileNet/fc1/biases"))


# {architecture: (a constant that only its graph has, function(constants) -> {our layer: {name: value}})}
_LAYERS = {
    "ds_cnn": ("MobileNet/conv_1/weights", _ds_cnn),
    "dnn": ("final_fc", _dnn),
    "cnn": ("bn1/moving_mean", _cnn),
    "basic_lstm": ("lstm/rnn/basic_lstm_cell/kernel", lambda theirs: {
        "lstm": _lstm(theirs, "lstm/rnn/basic_lstm_cell"), "logits": _dense(theirs, "W_o", "b_o"),
    }),
    "lstm": ("lstm/rnn/lstm_cell/kernel", lambda theirs: {
        "lstm": _lstm(theirs, "lstm/rnn/lstm_cell"), "logits": _dense(theirs, "W_o", "b_o"),
    }),
    "crnn": ("fcw", _crnn),
    "gru": ("rnn/multi_rnn_cell/cell_0/gru_cell/gates/kernel", lambda theirs: dict(
        _grus(theirs), logits=_dense(theirs, "W_o", "b_o")
    )),
}
