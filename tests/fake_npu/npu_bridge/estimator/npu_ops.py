"""Operations around a session."""
import tensorflow as tf


def initialize_system(name=None):
    return tf.no_op(name=name or "InitializeSystem")


def shutdown_system(name=None):
    return tf.no_op(name=name or "ShutdownSystem")


NPUInit, NPUShutdown = initialize_system, shutdown_system


def dropout(x, keep_prob, noise_shape=None, seed=None, name=None):
    if not x.dtype.is_floating:
        raise ValueError("x must be floating point, found %s" % x.dtype)
    if isinstance(keep_prob, float) and not 0 < keep_prob <= 1:
        raise ValueError("keep_prob must be in (0, 1], found %g" % keep_prob)
    return tf.nn.dropout(x, rate=1 - keep_prob, noise_shape=noise_shape, seed=seed, name=name)
