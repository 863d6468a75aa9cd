"""From images to result files."""
