"""What the queries of a model do: over a data set, and layer by layer in one image."""
