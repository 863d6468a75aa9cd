"""Settings of the published transformer decoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.parts.transformer_settings import transformer_problems
from maskformer_jax.validation import require_positive


@dataclass(slots=True, kw_only=True)
class MaskFormerDecoderConfig(TransformerDecoderConfig):
    """N learned queries attending to the coarsest feature map."""

    type: Literal["maskformer"] = "maskformer"
    num_queries: int = 100
    num_layers: int = 6  # with 0 the heads read the learned queries
    hidden_dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    deep_supervision: bool = True
    share_heads: bool = True  # one pair of heads for all layers; False: one pair per layer
    self_attention: bool = True  # among the queries; False in an ablation of the paper's table VIII
    enforce_input_proj: bool = False  # project the input even where its width is hidden_dim

    def problems(self, path: str) -> Iterator[str]:
        """Describe each value with which no such decoder can be built."""
        yield from require_positive(self, path, "num_queries")
        yield from transformer_problems(self, path, width="hidden_dim", least_layers=0)
