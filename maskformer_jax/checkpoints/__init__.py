"""Checkpoints of our own runs, and one way to read any kind."""
