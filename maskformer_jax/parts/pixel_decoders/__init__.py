"""Pixel decoders: from the feature maps of a backbone to per-pixel embeddings."""
