"""Optimizer, step, loop and checkpoints."""
