"""FPN-like pixel decoder: from feature maps to one embedding per pixel (paper section 3.4)."""

from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.extent import Extent, at_stride, clear_outside
from maskformer_jax.parts.group_norm import GroupNorm
from maskformer_jax.parts.initializers import xavier_fill
from maskformer_jax.parts.layers import conv, rematerialize
from maskformer_jax.parts.pixel_decoders.fpn.config import FPNConfig
from maskformer_jax.parts.pixel_decoders.output import PixelDecoderOutput
from maskformer_jax.resize import resize_nearest, resize_nearest_within


class ConvGroupNorm(nn.Module):
    """Convolution without bias, then group norm."""

    features: int
    kernel_size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], extent: Extent = None
    ) -> Float[Array, "b h w _"]:
        """Convolve and normalise, without activation."""
        if self.kernel_size > 1:
            x = clear_outside(x, extent)
        x = conv(
            self.features, self.kernel_size, kernel_init=xavier_fill, dtype=self.dtype, name="conv"
        )(x)
        return GroupNorm(self.dtype, name="norm")(x, extent)


class FPNPixelDecoder(nn.Module):
    """Top-down pyramid (arXiv 1612.03144) with group norm.

    Attributes:
        conv_dim: inner width, a multiple of 32.
        mask_dim: width of the per-pixel embeddings.
        encoder: the coarsest map to one of the same size, which takes its place.
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
        self,
        features: Mapping[int, Float[Array, "b _ _ _"]],
        *,
        train: bool = False,
        extent: Extent = None,
    ) -> PixelDecoderOutput:
        """Merge feature maps, coarse to fine, into embeddings of the size of the finest.

        The queries attend to the coarsest map, the encoder's output where there is an encoder.

        Args:
            features: maps by their stride.
            train: turns the encoder's dropout on, which needs the "dropout" rng.
            extent: of each image, padding included; None: all of the batch.
        """
        strides = sorted(features)
        extents = [at_stride(extent, stride) for stride in strides]
        coarsest = features[strides[-1]]
        if self.encoder is not None:
            coarsest = self.encoder(coarsest, extents[-1], train=train)
        name = f"layer_{len(strides)}"
        y = ConvGroupNorm(self.conv_dim, 3, self.dtype, name=name)(coarsest, extents[-1])
        y = nn.relu(y)
        for level in range(len(strides) - 1, 0, -1):
            merge = rematerialize(partial(_merge_level, level=level), on=self.remat)
            y = merge(self, y, features[strides[level - 1]], extents[level], extents[level - 1])
        # The paper's text has a 1x1 convolution here, the published weights a 3x3 one.
        mask_features = conv(
            self.mask_dim,
            3,
            use_bias=True,
            kernel_init=xavier_fill,
            dtype=self.dtype,
            name="mask_features",
        )(clear_outside(y, extents[0]))
        return PixelDecoderOutput(mask_features, {strides[-1]: coarsest})


def _merge_level(
    decoder: FPNPixelDecoder,
    y: Array,
    lateral: Array,
    coarse_extent: Extent,
    extent: Extent,
    *,
    level: int,
) -> Array:
    # No activation on the lateral branch: the sum goes through the 3x3 convolution.
    adapter = ConvGroupNorm(decoder.conv_dim, 1, decoder.dtype, name=f"adapter_{level}")
    lateral = adapter(lateral, extent)
    height, width = lateral.shape[1:3]
    size = (height, width)
    if coarse_extent is None or extent is None:
        y = resize_nearest(y, size, axes=(1, 2))
    else:
        y = resize_nearest_within(y, size, from_extent=coarse_extent, to_extent=extent)
    layer = ConvGroupNorm(decoder.conv_dim, 3, decoder.dtype, name=f"layer_{level}")
    return nn.relu(layer(lateral + y, extent))


def build(config: FPNConfig, *, dtype: DTypeLike, remat: bool) -> FPNPixelDecoder:
    """Make the module of these settings."""
    return FPNPixelDecoder(**config.settings(), dtype=dtype, remat=remat)
