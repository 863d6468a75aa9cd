"""Swin transformer backbones."""
