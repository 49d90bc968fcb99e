"""The layers that architectures are written in, as TensorFlow graph operations.

`build()` of an architecture is called with these layers to train and to infer, and with those of `costs` to count.
Tensors are [batch, height (time), width (frequency), channels], as TensorFlow's CPU kernels want them.
"""
import tensorflow.compat.v1 as tf

_KERNEL = tf.glorot_uniform_initializer


class GraphLayers:
    """Layers over `tf.get_variable`: built twice under `tf.AUTO_REUSE`, training and inference share variables.

    training: whether dropout acts and batch norm uses the batch's own statistics.
    """

    def __init__(self, training):
        self.training = training

    def scope(self, name):
        """A context that prefixes the names of the variables made inside."""
        return tf.variable_scope(name)

    def shape(self, x):
        """(height, width, channels) or (units,) of x."""
        return tuple(x.shape.as_list()[1:])

    def reshape(self, x, shape):
        """x [batch, ...] -> [batch, *shape]."""
        return tf.reshape(x, (-1,) + tuple(shape))

    def conv(self, x, filters, kernel, stride=(1, 1), padding="SAME", bias=False):
        """2-D convolution: x [batch, h, w, c] -> [batch, h', w', filters]."""
        weights = tf.get_variable("weights", tuple(kernel) + (self.shape(x)[-1], filters), initializer=_KERNEL())
        y = tf.nn.conv2d(x, weights, strides=(1,) + tuple(stride) + (1,), padding=padding)
        return self._biased(y) if bias else y

    def depthwise_conv(self, x, kernel, stride=(1, 1), padding="SAME", bias=False):
        """One filter a channel: x [batch, h, w, c] -> [batch, h', w', c]."""
        weights = tf.get_variable("weights", tuple(kernel) + (self.shape(x)[-1], 1), initializer=_KERNEL())
        y = tf.nn.depthwise_conv2d(x, weights, strides=(1,) + tuple(stride) + (1,), padding=padding)
        return self._biased(y) if bias else y

    def dense(self, x, units, bias=True):
        """Fully connected: x [batch, n] -> [batch, units]."""
        weights = tf.get_variable("weights", (self.shape(x)[-1], units), initializer=_KERNEL())
        y = tf.matmul(x, weights)
        return self._biased(y) if bias else y

    def _biased(self, y):
        return tf.nn.bias_add(y, tf.get_variable("biases", (self.shape(y)[-1],), initializer=tf.zeros_initializer()))

    def batch_norm(self, x, scale=False, decay=0.96, epsilon=0.001):
        """Batch normalisation (arXiv 1502.03167) with a learned offset and, if `scale`, a learned factor.

        A training batch moves the averages that inference uses by 1 - decay; `train` runs those updates.
        """
        shape = (self.shape(x)[-1],)
        beta = tf.get_variable("beta", shape, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", shape, initializer=tf.ones_initializer()) if scale else tf.ones(shape)
        mean = tf.get_variable("moving_mean", shape, initializer=tf.zeros_initializer(), trainable=False)
        variance = tf.get_variable("moving_variance", shape, initializer=tf.ones_initializer(), trainable=False)
        if not self.training:
            return tf.nn.fused_batch_norm(x, gamma, beta, mean, variance, epsilon=epsilon, is_training=False)[0]
        y, batch_mean, batch_variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=epsilon, is_training=True)
        for average, value in ((mean, batch_mean), (variance, batch_variance)):
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign_sub(average, (1 - decay) * (average - value)))
        return y

    def relu(self, x):
        return tf.nn.relu(x)

    def global_average_pool(self, x):
        """x [batch, h, w, c] -> [batch, c]."""
        return tf.reduce_mean(x, axis=(1, 2))

    def dropout(self, x, rate):
        """Drops this share of the units while training."""
        return tf.nn.dropout(x, rate=rate) if self.training and rate else x
