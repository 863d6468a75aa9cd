"""Stems and residual blocks of a ResNet (arXiv 1512.03385)."""

from functools import partial
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.backbones.resnet.config import EXPANSION
from maskformer_jax.parts.backbones.resnet.frozen_batch_norm import FrozenBatchNorm
from maskformer_jax.parts.initializers import msra_fill
from maskformer_jax.parts.layers import conv, group_norm

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
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ _"]:
        """Convolve and normalise, without activation."""
        x = conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            kernel_init=msra_fill,
            dtype=self.dtype,
            name="conv",
        )(x)
        if self.norm == "group_norm":
            return group_norm("norm", dtype=self.dtype)(x)
        return FrozenBatchNorm(dtype=self.dtype, name="norm")(x)


class Stem(nn.Module):
    """7x7 convolution and max-pool, to a quarter of the image's size."""

    features: int
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b _ _ _"]:
        """Bring normalised images to stride 4."""
        x = ConvNorm(self.features, 7, 2, norm=self.norm, dtype=self.dtype, name="conv1")(images)
        x = nn.relu(x)
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


class DeepLabStem(nn.Module):
    """Three 3x3 convolutions and max-pool, to a quarter of the image's size and twice the width."""

    features: int
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b _ _ _"]:
        """Bring normalised images to stride 4."""
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        x = nn.relu(conv_norm(self.features, 3, 2, name="conv1")(images))
        x = nn.relu(conv_norm(self.features, 3, name="conv2")(x))
        x = nn.relu(conv_norm(2 * self.features, 3, name="conv3")(x))
        return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (depths 18 and 34)."""

    features: int
    stride: int = 1
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ _"]:
        """Add the residual branch to the (projected) input."""
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        y = conv_norm(self.features, 3, self.stride, name="conv1")(x)
        y = conv_norm(self.features, 3, name="conv2")(nn.relu(y))
        if x.shape[-1] != self.features:
            x = conv_norm(self.features, 1, self.stride, name="shortcut")(x)
        return nn.relu(x + y)


class BottleneckBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut (depths 50 and 101)."""

    inner_features: int
    stride: int = 1
    dilation: int = 1
    stride_in_1x1: bool = False
    norm: Norm = "frozen_batch_norm"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _ _ _"]:
        """Add the residual branch to the (projected) input."""
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype)
        features = EXPANSION * self.inner_features
        first, second = (self.stride, 1) if self.stride_in_1x1 else (1, self.stride)
        conv2 = conv_norm(self.inner_features, 3, second, dilation=self.dilation, name="conv2")
        y = conv_norm(self.inner_features, 1, first, name="conv1")(x)
        y = conv2(nn.relu(y))
        y = conv_norm(features, 1, name="conv3")(nn.relu(y))
        if x.shape[-1] != features:
            x = conv_norm(features, 1, self.stride, name="shortcut")(x)
        return nn.relu(x + y)
