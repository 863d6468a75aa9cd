"""Settings of the toy decoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.validation import require_positive


@dataclass(slots=True, kw_only=True)
class ToyDecoderConfig(TransformerDecoderConfig):
    """Queries that see the mean of every feature map."""

    type: Literal["toy"] = "toy"
    hidden_dim: int = 16

    def problems(self, path: str) -> Iterator[str]:
        yield from require_positive(self, path, "num_queries", "hidden_dim")
