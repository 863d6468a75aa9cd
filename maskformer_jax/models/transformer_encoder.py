"""Transformer encoder on a feature map (DETR, arXiv 2005.12872, appendix A.3)."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.models.initializers import xavier_fill
from maskformer_jax.models.layers import conv, layer_norm
from maskformer_jax.models.position_encoding import encode_positions
from maskformer_jax.models.transformer import TransformerEncoderLayer, share_biases


class TransformerEncoder(nn.Module):
    """Lets all places of a map attend to each other.

    Attributes:
        num_layers: transformer layers.
        hidden_dim: width, a multiple of 4 and of num_heads.
        num_heads: attention heads.
        ffn_dim: inner width of the feed-forward parts.
        dropout: rate in training.
        pre_norm: see TransformerEncoderLayer; the output is normalised in this case only.
        dtype: of the computation; norms, softmax and the result are float32.
    """

    num_layers: int = 6
    hidden_dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, feature: Float[Array, "b h5 w5 c5"], *, train: bool = False
    ) -> Float[Array, "b h5 w5 d"]:
        """Project a map to the encoder's width and encode it."""
        batch, height, width, _ = feature.shape
        projected = conv(
            self.hidden_dim,
            1,
            use_bias=True,
            kernel_init=xavier_fill,
            dtype=self.dtype,
            name="input_proj",
        )(feature)
        x = projected.reshape(batch, height * width, self.hidden_dim).astype(jnp.float32)
        position = encode_positions(height, width, dim=self.hidden_dim)
        position = jnp.broadcast_to(position.reshape(1, *x.shape[1:]), x.shape)
        bias_inits = None
        if self.is_initializing():
            bias_inits = share_biases(
                self.make_rng("params"), hidden_dim=self.hidden_dim, ffn_dim=self.ffn_dim
            )
        for i in range(self.num_layers):
            x = TransformerEncoderLayer(
                num_heads=self.num_heads,
                ffn_dim=self.ffn_dim,
                dropout=self.dropout,
                pre_norm=self.pre_norm,
                bias_inits=bias_inits,
                dtype=self.dtype,
                name=f"layer_{i}",
            )(x, position=position, train=train)
        if self.pre_norm:
            x = layer_norm("norm")(x)
        return x.reshape(batch, height, width, self.hidden_dim)
