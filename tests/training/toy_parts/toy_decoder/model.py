"""The toy decoder."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from maskformer_jax.parts.extent import Extent, at_stride, clear_outside
from maskformer_jax.types import Predictions
from toy_parts.toy_decoder.config import ToyDecoderConfig


class ToyDecoder(nn.Module):
    num_classes: int | None
    mask_dim: int
    num_queries: int
    hidden_dim: int

    @nn.compact
    def __call__(
        self,
        features: Any,
        mask_features: Any,
        *,
        train: bool = False,
        extent: Extent = None,
    ) -> Predictions:
        del train
        shape = (self.num_queries, self.hidden_dim)
        queries = self.param("queries", nn.initializers.normal(1.0), shape)
        seen = [mean(features[s], at_stride(extent, s)) for s in sorted(features)]
        seen = nn.Dense(self.hidden_dim, name="see")(jnp.concatenate(seen, -1))
        tokens = queries[None] + seen[:, None]
        mask_embed = nn.Dense(self.mask_dim, name="mask")(tokens)
        return Predictions(
            class_logits=nn.Dense(self.num_classes + 1, name="class")(tokens)[None],
            mask_logits=jnp.einsum("bqc,bhwc->bqhw", mask_embed, mask_features)[None],
        )


def mean(x: Any, extent: Extent) -> Any:
    if extent is None:
        return x.mean((1, 2))
    return clear_outside(x, extent).sum((1, 2)) / extent.prod(axis=1, keepdims=True)


def build(
    config: ToyDecoderConfig, *, num_classes: int | None, mask_dim: int, dtype: Any, remat: bool
) -> ToyDecoder:
    return ToyDecoder(
        num_classes, mask_dim, num_queries=config.num_queries, hidden_dim=config.hidden_dim
    )
