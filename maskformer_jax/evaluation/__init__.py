"""Metrics that judge predictions against ground truth, and their reports."""
