"""Data sets written as TFDS ArrayRecord files, without TensorFlow."""
