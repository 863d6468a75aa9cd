"""A stack of transformer layers, as in DETR's encoder and decoder (arXiv 2005.12872)."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array

from maskformer_jax.parts.extent import Extent, clear_outside, inside
from maskformer_jax.parts.initializers import fix_draw, linear_bias, xavier_fill
from maskformer_jax.parts.layers import conv, rematerialize
from maskformer_jax.parts.position_encoding import encode_positions
from maskformer_jax.parts.transformer_layers import BiasInits, TransformerLayer

Layer = TypeVar("Layer", bound=TransformerLayer)


class Tokens(NamedTuple):
    """A feature map as a sequence of tokens."""

    values: Array  # [B, S, d]
    position: Array  # [B, S, d]
    mask: Array | None  # bool [B, S], False outside of the images; None: all are inside


class TransformerStack(nn.Module):
    """Base of encoder and decoder: the settings of their layers and the input projection.

    Attributes:
        num_layers: transformer layers.
        hidden_dim: width, a multiple of 4 and of num_heads.
        num_heads: attention heads.
        ffn_dim: inner width of the feed-forward parts.
        dropout: rate in training.
        pre_norm: see TransformerLayer.
        dtype: of the computation; norms and softmax are float32.
        remat: keep the inputs of each layer alone for the gradient.
    """

    num_layers: int = 6
    hidden_dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def _project(self, feature: Array) -> Array:
        """Bring a map to the width of the layers."""
        return conv(
            self.hidden_dim,
            1,
            use_bias=True,
            kernel_init=xavier_fill,
            dtype=self.dtype,
            name="input_proj",
        )(feature)

    def _layers(self, layer: type[Layer], **settings: Any) -> list[Layer]:
        """Make the layers; all start with the same feed-forward biases."""
        bias_inits = None
        if self.is_initializing():
            bias_inits = share_biases(
                self.make_rng("params"), hidden_dim=self.hidden_dim, ffn_dim=self.ffn_dim
            )
        return [
            layer(
                num_heads=self.num_heads,
                ffn_dim=self.ffn_dim,
                dropout=self.dropout,
                pre_norm=self.pre_norm,
                bias_inits=bias_inits,
                dtype=self.dtype,
                name=f"layer_{i}",
                **settings,
            )
            for i in range(self.num_layers)
        ]

    def _tokens(self, feature: Array, extent: Extent) -> "Tokens":
        """The cells of a projected map as tokens, row by row."""
        batch, height, width, _ = feature.shape
        position = encode_positions(height, width, dim=self.hidden_dim, extent=extent)
        shape = (batch, height * width, self.hidden_dim)
        mask = None
        if extent is not None:
            mask = inside(extent, height=height, width=width).reshape(shape[:2])
        return Tokens(
            values=clear_outside(feature, extent).reshape(shape),
            position=jnp.broadcast_to(position.reshape(-1, *shape[1:]), shape),
            mask=mask,
        )

    def _run(
        self, layer: nn.Module, x: Array, *memory: Array, train: bool, **arguments: Array | None
    ) -> Array:
        """Apply one of the layers."""

        def run(layer: Any, x: Array, memory: tuple[Array, ...], arguments: Any) -> Array:
            return layer(x, *memory, **arguments, train=train)

        return rematerialize(run, on=self.remat)(layer, x, memory, arguments)


def share_biases(key: Array, *, hidden_dim: int, ffn_dim: int) -> BiasInits:
    """Draw the two feed-forward biases once, for all layers of a stack.

    The published stacks are clones of one layer of which only the matrices are drawn again.
    """
    first, second = jax.random.split(key)
    return (
        fix_draw(linear_bias(hidden_dim), fixed_key=first),
        fix_draw(linear_bias(ffn_dim), fixed_key=second),
    )
