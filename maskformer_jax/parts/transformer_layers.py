"""Transformer layers (DETR, arXiv 2005.12872, section 3.2 and appendix A.3)."""

import warnings
from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from maskformer_jax.parts.dot_product_attention import attend_to_values
from maskformer_jax.parts.initializers import (
    glorot_uniform,
    linear_bias,
    packed_glorot_uniform,
)
from maskformer_jax.parts.layers import layer_norm
from maskformer_jax.parts.products import multiply_kernel

BiasInits = tuple[Initializer, Initializer]


def attention(
    *, num_heads: int, dropout: float, train: bool, dtype: DTypeLike, name: str
) -> nn.MultiHeadDotProductAttention:
    """Make PyTorch's multi-head attention: dropout on each probability independently."""
    return nn.MultiHeadDotProductAttention(
        num_heads=num_heads,
        dropout_rate=dropout,
        broadcast_dropout=False,
        deterministic=not train,
        kernel_init=packed_glorot_uniform(),
        out_kernel_init=glorot_uniform,
        dtype=dtype,
        force_fp32_for_softmax=True,
        attention_fn=attend_to_values,
        name=name,
    )


def attend(
    module: nn.MultiHeadDotProductAttention,
    q: Array,
    k: Array,
    v: Array,
    mask: Bool[Array, "b s"] | None = None,
) -> Float[Array, "b q d"]:
    """Run attention to the tokens in `mask`, without Flax's warning about the shape of values."""
    with warnings.catch_warnings():
        # Flax takes values with as many tokens as channels for a misplaced mask.
        warnings.filterwarnings("ignore", "You are passing an array of shape")
        return module(q, k, v, mask=None if mask is None else mask[:, None, None])


class FeedForward(nn.Module):
    """Two linear layers with ReLU and dropout between them.

    Attributes:
        ffn_dim: inner width.
        dropout: rate after the ReLU, in training.
        bias_inits: initializers of the two biases; None: PyTorch's default.
        dtype: of the computation.
    """

    ffn_dim: int
    dropout: float = 0.1
    bias_inits: BiasInits | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b q d"], *, train: bool = False) -> Float[Array, "b q d"]:
        """Apply to each token by itself; residual and norm are the caller's."""
        hidden_dim = x.shape[-1]
        first, second = self.bias_inits or (linear_bias(hidden_dim), linear_bias(self.ffn_dim))
        x = nn.Dense(
            self.ffn_dim,
            kernel_init=glorot_uniform,
            bias_init=first,
            dtype=self.dtype,
            dot_general=multiply_kernel,
            name="linear1",
        )(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))
        return nn.Dense(
            hidden_dim,
            kernel_init=glorot_uniform,
            bias_init=second,
            dtype=self.dtype,
            dot_general=multiply_kernel,
            name="linear2",
        )(x)


class TransformerLayer(nn.Module):
    """Base of encoder and decoder layers: their settings and their residual branches.

    Positions are added to what attention compares (queries and keys), never to the values.

    Attributes:
        num_heads: attention heads.
        ffn_dim: inner width of the feed-forward part.
        dropout: rate on attention probabilities and on each branch, in training.
        pre_norm: normalise the input of each branch rather than the sum after it.
        bias_inits: see FeedForward.
        dtype: of the computation; norms, softmax and residual sums are float32.
    """

    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    bias_inits: BiasInits | None = None
    dtype: DTypeLike = jnp.float32

    def _add_branch(
        self, x: Array, branch: Callable[[Array], Array], *, norm: str, train: bool
    ) -> Array:
        normalise = layer_norm(norm)
        drop = nn.Dropout(self.dropout, deterministic=not train)
        if self.pre_norm:
            return x + drop(branch(normalise(x)))
        return normalise(x + drop(branch(x)))

    def _attend(
        self, name: str, q: Array, k: Array, v: Array, mask: Array | None = None, *, train: bool
    ) -> Array:
        module = attention(
            num_heads=self.num_heads,
            dropout=self.dropout,
            train=train,
            dtype=self.dtype,
            name=name,
        )
        return attend(module, q, k, v, mask)

    def _feed_forward(self, x: Array, *, train: bool) -> Array:
        module = FeedForward(
            self.ffn_dim,
            dropout=self.dropout,
            bias_inits=self.bias_inits,
            dtype=self.dtype,
            name="ffn",
        )
        return module(x, train=train)


class TransformerEncoderLayer(TransformerLayer):
    """Self-attention among the tokens of a map, feed-forward."""

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b s d"],
        *,
        position: Float[Array, "b s d"],
        mask: Bool[Array, "b s"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b s d"]:
        """Update the tokens once; those outside of `mask` are not attended to."""

        def attend_to_tokens(x: Array) -> Array:
            place = x + position
            return self._attend("self_attention", place, place, x, mask, train=train)

        feed_forward = partial(self._feed_forward, train=train)
        x = self._add_branch(x, attend_to_tokens, norm="norm1", train=train)
        return self._add_branch(x, feed_forward, norm="norm2", train=train)


class TransformerDecoderLayer(TransformerLayer):
    """Self-attention among the queries, cross-attention to the memory, feed-forward.

    Attributes, besides those of TransformerLayer:
        self_attention: whether the queries attend to each other (paper, table VIII).
    """

    self_attention: bool = True

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b q d"],
        memory: Float[Array, "b s d"],
        *,
        query_position: Float[Array, "b q d"],
        memory_position: Float[Array, "b s d"],
        memory_mask: Bool[Array, "b s"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b q d"]:
        """Update the queries once; memory outside of `memory_mask` is not attended to."""

        def attend_to_queries(x: Array) -> Array:
            place = x + query_position
            return self._attend("self_attention", place, place, x, train=train)

        def attend_to_memory(x: Array) -> Array:
            place, key = x + query_position, memory + memory_position
            return self._attend("cross_attention", place, key, memory, memory_mask, train=train)

        feed_forward = partial(self._feed_forward, train=train)
        if self.self_attention:
            x = self._add_branch(x, attend_to_queries, norm="norm1", train=train)
        x = self._add_branch(x, attend_to_memory, norm="norm2", train=train)
        return self._add_branch(x, feed_forward, norm="norm3", train=train)
