"""Stems and residual blocks of a ResNet (arXiv 1512.03385)."""

from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.backbones.resnet.config import EXPANSION
from maskformer_jax.parts.backbones.resnet.frozen_batch_norm import FrozenBatchNorm
from maskformer_jax.parts.computed_once import computed_once
from maskformer_jax.parts.extent import Extent, at_stride, clear_outside
from maskformer_jax.parts.group_norm import GroupNorm
from maskformer_jax.parts.initializers import msra_fill
from maskformer_jax.parts.layers import conv

Norm = Literal["frozen_batch_norm", "group_norm"]


class ConvNorm(nn.Module):
    """Convolution without bias, then a norm."""

    features: int
    kernel_size: int
    stride: int = 1
    norm: Norm = "frozen_batch_norm"
    dilation: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Convolve and normalise, without activation; `extent` is that of the input."""
        if self.kernel_size > 1:
            x = clear_outside(x, extent)
        x = conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            kernel_init=msra_fill,
            dtype=self.dtype,
            of_images=x.shape[-1] == 3 and self.stride > 1,
            name="conv",
        )(x)
        if self.norm == "group_norm":
            return GroupNorm(self.dtype, name="norm")(x, at_stride(extent, self.stride))
        return FrozenBatchNorm(dtype=self.dtype, name="norm")(x)


def halve_by_maximum(x: Float[Array, "b h w c"], extent: Extent) -> Float[Array, "b _ _ c"]:
    """3x3 max-pool with stride 2; sizes round up."""
    x = clear_outside(x, extent, value=-jnp.inf)
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


class Stem(nn.Module):
    """7x7 convolution and max-pool, to a quarter of the image's size."""

    features: int
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Bring normalised images to stride 4."""
        conv1 = ConvNorm(self.features, 7, 2, norm=self.norm, dtype=self.dtype, name="conv1")
        return halve_by_maximum(nn.relu(conv1(images, extent)), at_stride(extent, 2))


class DeepLabStem(nn.Module):
    """Three 3x3 convolutions and max-pool, to a quarter of the image's size and twice the width."""

    features: int
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Bring normalised images to stride 4."""
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        x = nn.relu(conv_norm(self.features, 3, 2, name="conv1")(images, extent))
        extent = at_stride(extent, 2)
        x = nn.relu(conv_norm(self.features, 3, name="conv2")(x, extent))
        x = nn.relu(conv_norm(2 * self.features, 3, name="conv3")(x, extent))
        return halve_by_maximum(x, extent)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (depths 18 and 34)."""

    features: int
    stride: int = 1
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Add the residual branch to the (projected) input; `extent` is that of the input."""
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        y = conv_norm(self.features, 3, self.stride, name="conv1")(x, extent)
        y = conv_norm(self.features, 3, name="conv2")(nn.relu(y), at_stride(extent, self.stride))
        if x.shape[-1] != self.features:
            x = conv_norm(self.features, 1, self.stride, name="shortcut")(x, extent)
        return computed_once(nn.relu(x + y))


class BottleneckBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut (depths 50 and 101)."""

    inner_features: int
    stride: int = 1
    dilation: int = 1
    stride_in_1x1: bool = False
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Add the residual branch to the (projected) input; `extent` is that of the input."""
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        features = EXPANSION * self.inner_features
        first, second = (self.stride, 1) if self.stride_in_1x1 else (1, self.stride)
        conv2 = conv_norm(self.inner_features, 3, second, dilation=self.dilation, name="conv2")
        y = conv_norm(self.inner_features, 1, first, name="conv1")(x, extent)
        y = conv2(nn.relu(y), at_stride(extent, first))
        y = conv_norm(features, 1, name="conv3")(nn.relu(y), at_stride(extent, self.stride))
        if x.shape[-1] != features:
            x = conv_norm(features, 1, self.stride, name="shortcut")(x, extent)
        return computed_once(nn.relu(x + y))
