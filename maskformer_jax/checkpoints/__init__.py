"""Reading checkpoints of any kind, and writing them for other programs."""
