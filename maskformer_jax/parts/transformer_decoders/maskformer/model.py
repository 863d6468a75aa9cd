"""From learned queries and image features to N pairs of class and mask (paper section 3.4)."""

from collections.abc import Callable, Mapping
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.extent import Extent, at_stride
from maskformer_jax.parts.layers import MLP, layer_norm, torch_dense
from maskformer_jax.parts.transformer_decoders.maskformer.config import MaskFormerDecoderConfig
from maskformer_jax.parts.transformer_layers import TransformerDecoderLayer
from maskformer_jax.parts.transformer_stack import TransformerStack
from maskformer_jax.precision import at_least_float32_dtype
from maskformer_jax.types import Predictions


class TransformerDecoder(TransformerStack, kw_only=True):
    """The transformer module and the segmentation heads.

    Heads and predictions are float32. Without layers (`num_layers` 0) the queries never attend to
    the image: the heads read the learned queries as they are, L = 1, and there is no input
    projection and no norm.

    Attributes, besides those of TransformerStack:
        num_classes: K, without no-object; None: predict masks only, without classes.
        num_queries: Q.
        mask_dim: width of the per-pixel embeddings it is combined with.
        deep_supervision: predict after every layer (L = num_layers), else after the last (L = 1).
            The parameters are the same, so a clone without it serves inference.
        share_heads: one class and one mask head for the outputs of all layers, as published (the
            end of paper section 3.4). Otherwise each layer has its own, `class_embed_0`, ...; the
            paper has no such experiment.
        self_attention: whether queries attend to each other; the paper's table VIII has six layers
            without it. The remaining norms keep their names.
        enforce_input_proj: project the input even where its width is hidden_dim already.
    """

    num_classes: int | None
    num_queries: int = 100
    mask_dim: int = 256
    deep_supervision: bool = True
    share_heads: bool = True
    self_attention: bool = True
    enforce_input_proj: bool = False

    @nn.compact
    def __call__(
        self,
        features: Mapping[int, Float[Array, "b _ _ _"]],
        mask_features: Float[Array, "b h w c"],
        *,
        train: bool = False,
        extent: Extent = None,
    ) -> Predictions:
        """Predict N pairs of class and mask from every layer.

        Args:
            features: maps by their stride, of which the coarsest is attended to.
            mask_features: the per-pixel embeddings.
            train: turns dropout on, which needs the "dropout" rng.
            extent: of each image, padding included; None: all of the batch.
        """
        stride = max(features)
        outputs = self._decode(features[stride], at_stride(extent, stride), train=train)
        class_logits = None
        if self.num_classes is not None:
            head = partial(torch_dense, self.num_classes + 1, fan_in=self.hidden_dim)
            class_logits = self._apply_head(head, outputs, name="class_embed")
        widths = (self.hidden_dim, self.hidden_dim, self.mask_dim)
        mask_embed = self._apply_head(partial(MLP, widths), outputs, name="mask_embed")
        # Pixels as one axis, in which costs and losses sum over them: on a TPU a map of rows and
        # columns has another layout in memory, and a change between the two is a copy.
        batch, height, width, _ = mask_features.shape
        mask_logits = jnp.einsum(
            "lbqc,bpc->lbqp",
            mask_embed.astype(mask_features.dtype),
            mask_features.reshape(batch, height * width, -1),
            preferred_element_type=at_least_float32_dtype(mask_features.dtype),
        )
        mask_logits = mask_logits.reshape(*mask_logits.shape[:3], height, width)
        return Predictions(class_logits=class_logits, mask_logits=mask_logits)

    def _apply_head(
        self, make_head: Callable[..., nn.Module], outputs: Float[Array, "l b q d"], *, name: str
    ) -> Float[Array, "l b q _"]:
        if self.share_heads:
            return make_head(name=name)(outputs)
        # Named after their layers: the last has the same head with and without deep supervision.
        first = max(self.num_layers, 1) - len(outputs)
        heads = [make_head(name=f"{name}_{first + i}") for i in range(len(outputs))]
        return jnp.stack([head(x) for head, x in zip(heads, outputs, strict=True)])

    def _decode(
        self, feature: Float[Array, "b h5 w5 c5"], extent: Extent, *, train: bool
    ) -> Float[Array, "l b q d"]:
        """Run the layers; one norm, shared by all, is applied to each output handed out."""
        batch, channels = len(feature), feature.shape[-1]
        query_embed = self.param(
            "query_embed", nn.initializers.normal(1.0), (self.num_queries, self.hidden_dim)
        )
        if not self.num_layers:
            shape = (1, batch, self.num_queries, self.hidden_dim)
            return jnp.broadcast_to(query_embed[None, None], shape)
        if channels != self.hidden_dim or self.enforce_input_proj:
            feature = self._project(feature)
        memory = self._tokens(feature, extent)
        x = jnp.zeros((batch, self.num_queries, self.hidden_dim), query_embed.dtype)
        query_position = jnp.broadcast_to(query_embed[None], x.shape)
        outputs = []
        for layer in self._layers(TransformerDecoderLayer, self_attention=self.self_attention):
            x = self._run(
                layer,
                x,
                memory.values,
                query_position=query_position,
                memory_position=memory.position,
                memory_mask=memory.mask,
                train=train,
            )
            outputs.append(x)
        return layer_norm("norm")(jnp.stack(outputs if self.deep_supervision else outputs[-1:]))


def build(
    config: MaskFormerDecoderConfig,
    *,
    num_classes: int | None,
    mask_dim: int,
    dtype: DTypeLike,
    remat: bool,
) -> TransformerDecoder:
    """Make the module of these settings; without `num_classes` it predicts masks only."""
    return TransformerDecoder(
        num_classes=num_classes,
        mask_dim=mask_dim,
        **config.settings(),
        dtype=dtype,
        remat=remat,
    )
