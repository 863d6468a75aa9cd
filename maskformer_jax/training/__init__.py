"""Training: optimizer, step, loop and checkpoints."""
