"""Loss scale managers: TensorFlow's, of which the adapter's are children since r1.7."""
from tensorflow.contrib import mixed_precision


class FixedLossScaleManager(mixed_precision.FixedLossScaleManager):
    def __init__(self, loss_scale, enable_overflow_check=True):
        super().__init__(loss_scale)
        self._enable_overflow_check = enable_overflow_check

    def get_enable_overflow_check(self):
        return self._enable_overflow_check


class ExponentialUpdateLossScaleManager(mixed_precision.ExponentialUpdateLossScaleManager):
    pass
