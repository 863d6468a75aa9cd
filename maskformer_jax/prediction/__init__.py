"""From image files to result files."""
