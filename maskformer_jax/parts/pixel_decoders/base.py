"""The settings that every pixel decoder has."""

from dataclasses import dataclass

from maskformer_jax.parts.part import PartConfig


@dataclass(slots=True, kw_only=True)
class PixelDecoderConfig(PartConfig):
    """Settings of a pixel decoder."""

    mask_dim: int = 256  # width of the per-pixel embeddings
