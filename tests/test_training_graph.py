"""The training graph: which variables belong to the network, and which to the optimiser."""
import pytest

tf = pytest.importorskip("tensorflow.compat.v1")

# After the check for TensorFlow:
from test_diagnostics import described  # noqa: E402

from kwscli.models import network  # noqa: E402
from kwscli.training import training_graph  # noqa: E402


def names(variables):
    return [variable.op.name for variable in variables]


@pytest.mark.parametrize("optimizer_of", [
    tf.train.AdamOptimizer, lambda rate: tf.train.AdamOptimizer(rate, name="Adamant"),
    lambda rate: tf.train.MomentumOptimizer(rate, 0.9, name="weights"), tf.train.GradientDescentOptimizer,
])
def test_the_optimisers_variables_do_not_belong_to_the_network(optimizer_of):
    description = described()
    with tf.Graph().as_default():
        network.inference(description, 1)
        alone = names(network.variables_of(description))
    with tf.Graph().as_default():
        training_graph.build(description, optimizer_of)
        network.inference(description, 1)  # after the optimiser has made its variables
        assert names(network.variables_of(description)) == alone
        assert set(alone) <= set(names(tf.global_variables()))
    assert any("moving_mean" in name for name in alone) and len(alone) == len(set(alone))


def test_two_networks_in_one_graph_keep_their_own_variables():
    with tf.Graph().as_default():
        for architecture in ("ds_cnn", "dnn"):
            network.inference(described(architecture), 1)
        for architecture in ("ds_cnn", "dnn"):
            found = names(network.variables_of(described(architecture)))
            assert found and all(name.startswith(architecture + "/") for name in found)
