"""A decoder without attention."""
