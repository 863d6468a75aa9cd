"""The output of a pixel decoder."""

from typing import Any, NamedTuple


class PixelDecoderOutput(NamedTuple):
    """The input of a transformer decoder."""

    mask_features: Any  # [B, H/4, W/4, mask_dim], the per-pixel embeddings
    features: Any  # {stride: [B, H/stride, W/stride, C]}, the maps that queries attend to
