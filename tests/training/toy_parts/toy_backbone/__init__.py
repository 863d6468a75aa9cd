"""A backbone of two convolutions."""
