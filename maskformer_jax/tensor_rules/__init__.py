"""Tables that pair our variables with the tensors of another naming, and their application."""
