"""From learned queries and image features to N pairs of class and mask (paper section 3.4)."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.models.initializers import xavier_fill
from maskformer_jax.models.layers import MLP, conv, head_dense, layer_norm
from maskformer_jax.models.position_encoding import encode_positions
from maskformer_jax.models.transformer import TransformerDecoderLayer, share_biases
from maskformer_jax.types import Predictions


class TransformerDecoder(nn.Module):
    """The transformer module and the segmentation heads.

    Attributes:
        num_classes: K, without no-object; None: predict masks only, without classes.
        num_queries: Q.
        num_layers: transformer layers.
        hidden_dim: width, a multiple of 4 and of num_heads.
        num_heads: attention heads.
        ffn_dim: inner width of the feed-forward parts.
        mask_dim: width of the per-pixel embeddings it is combined with.
        dropout: rate in training.
        pre_norm: see TransformerDecoderLayer.
        deep_supervision: predict after every layer (L = num_layers), else after the last (L = 1).
            The parameters are the same, so a clone without it serves inference.
        enforce_input_proj: project the input even where its width is hidden_dim already.
        dtype: of the computation; norms, softmax, heads and predictions are float32.
    """

    num_classes: int | None
    num_queries: int = 100
    num_layers: int = 6
    hidden_dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    mask_dim: int = 256
    dropout: float = 0.1
    pre_norm: bool = False
    deep_supervision: bool = True
    enforce_input_proj: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        context: Float[Array, "b h5 w5 c5"],
        mask_features: Float[Array, "b h w c"],
        *,
        train: bool = False,
    ) -> Predictions:
        """Predict from the map to which queries attend and the per-pixel embeddings."""
        outputs = self._decode(context, train=train)  # [L, B, Q, d]
        class_logits = None
        if self.num_classes is not None:
            class_logits = head_dense(
                self.num_classes + 1, fan_in=self.hidden_dim, name="class_embed"
            )(outputs)
        mask_embed = MLP((self.hidden_dim, self.hidden_dim, self.mask_dim), name="mask_embed")(
            outputs
        )
        mask_logits = jnp.einsum(
            "lbqc,bhwc->lbqhw",
            mask_embed.astype(mask_features.dtype),
            mask_features,
            preferred_element_type=jnp.float32,
        )
        return Predictions(class_logits=class_logits, mask_logits=mask_logits)

    def _decode(
        self, context: Float[Array, "b h5 w5 c5"], *, train: bool
    ) -> Float[Array, "l b q d"]:
        """Run the layers; one norm, shared by all, is applied to each output handed out."""
        batch, height, width, channels = context.shape
        position = encode_positions(height, width, dim=self.hidden_dim)
        if channels != self.hidden_dim or self.enforce_input_proj:
            context = conv(
                self.hidden_dim,
                1,
                use_bias=True,
                kernel_init=xavier_fill,
                dtype=self.dtype,
                name="input_proj",
            )(context)
        memory = context.reshape(batch, height * width, self.hidden_dim)
        query_embed = self.param(
            "query_embed", nn.initializers.normal(1.0), (self.num_queries, self.hidden_dim)
        )
        bias_inits = None
        if self.is_initializing():
            bias_inits = share_biases(
                self.make_rng("params"), hidden_dim=self.hidden_dim, ffn_dim=self.ffn_dim
            )

        x = jnp.zeros((batch, self.num_queries, self.hidden_dim), jnp.float32)
        outputs = []
        for i in range(self.num_layers):
            x = TransformerDecoderLayer(
                num_heads=self.num_heads,
                ffn_dim=self.ffn_dim,
                dropout=self.dropout,
                pre_norm=self.pre_norm,
                bias_inits=bias_inits,
                dtype=self.dtype,
                name=f"layer_{i}",
            )(
                x,
                memory,
                query_position=jnp.broadcast_to(query_embed[None], x.shape),
                memory_position=jnp.broadcast_to(
                    position.reshape(1, *memory.shape[1:]), memory.shape
                ),
                train=train,
            )
            outputs.append(x)
        return layer_norm("norm")(jnp.stack(outputs if self.deep_supervision else outputs[-1:]))
