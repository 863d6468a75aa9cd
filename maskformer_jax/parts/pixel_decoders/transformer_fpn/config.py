"""Settings of the FPN-like pixel decoder with a transformer encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from maskformer_jax.parts.pixel_decoders.fpn.config import FPNConfig
from maskformer_jax.parts.transformer_settings import transformer_problems


@dataclass(slots=True, kw_only=True)
class TransformerFPNConfig(FPNConfig):
    """FPN-like decoder that first runs a transformer encoder on the coarsest feature map.

    The queries attend to the encoder's output. The fields from `num_layers` on are the encoder's.
    """

    type: Literal["transformer_fpn"] = "transformer_fpn"  # type: ignore[assignment]
    num_layers: int = 6
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    retired_fields: ClassVar[frozenset[str]] = frozenset()

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which no such decoder can be built."""
        yield from FPNConfig.problems(self, path)
        yield from transformer_problems(self, path, width="conv_dim", least_layers=1)
