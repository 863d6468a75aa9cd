"""Reading and writing other people's checkpoints: NumPy only."""
