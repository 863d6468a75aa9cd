"""The model and its parts: plain Flax modules that know no data, loss or training."""
