"""The device a graph runs on."""
import tensorflow.compat.v1 as tf

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_eager_execution()  # TensorFlow 2.x: Saver and FileWriter look at this, not at the graph they are given


def config():
    """The ConfigProto of a session."""
    return tf.ConfigProto(allow_soft_placement=True)


def open_session(graph):
    """A session on the graph; the caller closes it."""
    return tf.Session(graph=graph, config=config())
