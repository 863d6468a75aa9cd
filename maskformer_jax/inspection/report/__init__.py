"""The report of a run: one HTML page made from what the run has written."""
