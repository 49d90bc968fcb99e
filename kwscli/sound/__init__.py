"""Sound files -> clips -> features, and the augmentation of clips for training. Uses numpy, never TensorFlow."""
