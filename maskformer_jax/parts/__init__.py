"""The parts of the model, each in a folder: its config, its Flax module, its foreign weights."""
