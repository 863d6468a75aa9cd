"""Settings of the FPN-like pixel decoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from maskformer_jax.parts.pixel_decoders.base import PixelDecoderConfig
from maskformer_jax.validation import require, require_positive

NORM_GROUPS = 32


@dataclass(slots=True, kw_only=True)
class FPNConfig(PixelDecoderConfig):
    """FPN-like decoder from feature maps to per-pixel embeddings at the finest stride.

    The queries attend to the backbone's coarsest map as it is.
    """

    type: Literal["fpn"] = "fpn"
    conv_dim: int = 256  # inner width, a multiple of 32
    mask_dim: int = 256  # width of the per-pixel embeddings
    retired_fields: ClassVar[frozenset[str]] = frozenset(
        ("num_layers", "num_heads", "ffn_dim", "dropout", "pre_norm")
    )

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which no such decoder can be built."""
        yield from require(
            self.conv_dim > 0 and self.conv_dim % NORM_GROUPS == 0,
            f"{path}.conv_dim",
            self.conv_dim,
            f"a multiple of {NORM_GROUPS} (the number of groups of its norms)",
        )
        yield from require_positive(self, path, "mask_dim")
