"""From somebody's data to a recipe: what to train, how long, on what sizes."""
