"""From backbone features to one embedding per pixel (paper section 3.4, "pixel-level module")."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.models.initializers import xavier_fill
from maskformer_jax.models.layers import conv, group_norm, rematerialise
from maskformer_jax.resize import resize_nearest

LEVELS = ("res2", "res3", "res4", "res5")  # fine to coarse, strides 4, 8, 16, 32


class PixelDecoderOutput(NamedTuple):
    """What a pixel decoder hands to the transformer decoder."""

    mask_features: Array  # [B, H/4, W/4, mask_dim], the per-pixel embeddings
    context: Array  # [B, H/32, W/32, C], the map to which the queries attend


class ConvGroupNorm(nn.Module):
    """Convolution without bias, then group norm."""

    features: int
    kernel_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w _"]:
        """Convolve and normalise, without activation."""
        x = conv(
            self.features, self.kernel_size, kernel_init=xavier_fill, dtype=self.dtype, name="conv"
        )(x)
        return group_norm("norm", dtype=self.dtype)(x)


class FPNPixelDecoder(nn.Module):
    """Top-down pyramid (arXiv 1612.03144) with group norm.

    Attributes:
        conv_dim: inner width, a multiple of 32.
        mask_dim: width of the per-pixel embeddings.
        encoder: res5 to a map of the same size, which takes its place and is the context; without
            one, the context is res5 itself.
        dtype: of the computation; parameters and statistics are float32.
        remat: keep the inputs of each level alone for the gradient.
    """

    conv_dim: int = 256
    mask_dim: int = 256
    encoder: nn.Module | None = None
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self, features: Mapping[str, Float[Array, "b _ _ _"]], *, train: bool = False
    ) -> PixelDecoderOutput:
        """Merge "res2" .. "res5" into per-pixel embeddings of the size of "res2".

        `train` turns the encoder's dropout on, which needs the "dropout" rng.
        """
        context = features["res5"]
        if self.encoder is not None:
            context = self.encoder(context, train=train)
        y = nn.relu(ConvGroupNorm(self.conv_dim, 3, self.dtype, name="layer_4")(context))
        for i in (3, 2, 1):
            merge = rematerialise(partial(_merge_level, level=i), on=self.remat)
            y = merge(self, y, features[LEVELS[i - 1]])
        # The paper's text has a 1x1 convolution here, the published weights a 3x3 one.
        mask_features = conv(
            self.mask_dim,
            3,
            use_bias=True,
            kernel_init=xavier_fill,
            dtype=self.dtype,
            name="mask_features",
        )(y)
        return PixelDecoderOutput(mask_features=mask_features, context=context)


def _merge_level(decoder: FPNPixelDecoder, y: Array, lateral: Array, *, level: int) -> Array:
    # No activation on the lateral branch: the sum goes through the 3x3 convolution.
    adapter = ConvGroupNorm(decoder.conv_dim, 1, decoder.dtype, name=f"adapter_{level}")
    lateral = adapter(lateral)
    height, width = lateral.shape[1:3]
    y = lateral + resize_nearest(y, (height, width), axes=(1, 2))
    return nn.relu(ConvGroupNorm(decoder.conv_dim, 3, decoder.dtype, name=f"layer_{level}")(y))
