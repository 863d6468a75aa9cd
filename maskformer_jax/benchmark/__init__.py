"""How fast models run on this machine, alone or beside PyTorch: `benchmark`."""
