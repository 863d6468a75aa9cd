"""Finding out how somebody's data is laid out, from the files alone."""
