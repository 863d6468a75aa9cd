"""Transformer decoders: from feature maps and embeddings to N pairs of class and mask."""
