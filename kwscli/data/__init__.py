"""Recordings -> prepared data -> batches of clips. Nothing here imports TensorFlow."""
