"""Backbones: from a preprocessed image to feature maps at several strides."""
