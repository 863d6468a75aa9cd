"""ResNet backbones with frozen batch norm (arXiv 1512.03385; detectron2's placement of strides)."""

from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.models.frozen_batch_norm import FrozenBatchNorm
from maskformer_jax.models.initializers import msra_fill
from maskformer_jax.models.layers import conv, group_norm, rematerialise

BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
FIRST_BOTTLENECK_DEPTH = 50  # shallower ones are made of basic blocks
Norm = Literal["frozen_batch_norm", "group_norm"]
EXPANSION = 4  # output channels of a bottleneck block over its inner ones


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


# Blocks that are alike are traced once: deep networks start sooner, and are smaller to compile.
_TracedBasicBlock = nn.jit(BasicBlock)
_TracedBottleneckBlock = nn.jit(BottleneckBlock)


class ResNet(nn.Module):
    """Features of an image at strides 4, 8, 16 and 32.

    Attributes:
        depth: number of layers.
        width: channels of the stem, 64 in the published models; all others are multiples of it.
        stem: "basic" is one 7x7 convolution, "deeplab" three 3x3 convolutions.
        stride_in_1x1: down-sample in the first 1x1 convolution of a bottleneck (Caffe and MSRA
            weights) rather than in its 3x3 convolution (torchvision weights).
        norm: "frozen_batch_norm" for pretrained weights; "group_norm" (32 groups) learns from
            nothing, which constants in place of a norm hardly do.
        res5_dilations: of the 3x3 convolutions in the blocks of res5 (bottlenecks only).
        freeze_at: parts that get no gradient: 1 the stem, 2 also res2, ... 5 all.
        dtype: of the computation; parameters and norms are float32.
        remat: keep the inputs of each stage alone for the gradient.
    """

    depth: Literal[18, 34, 50, 101] = 50
    width: int = 64
    stem: Literal["basic", "deeplab"] = "basic"
    stride_in_1x1: bool = False
    norm: Norm = "frozen_batch_norm"
    res5_dilations: tuple[int, ...] = (1, 1, 1)
    freeze_at: int = 0
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self, images: Float[Array | np.ndarray, "b h w 3"], *, train: bool = False
    ) -> dict[str, Float[Array, "b _ _ _"]]:
        """Compute "res2" .. "res5" [B,h,w,C] of normalised images; h and w round up.

        `train` changes nothing; all backbones take it.
        """
        del train
        stem = DeepLabStem if self.stem == "deeplab" else Stem
        x = stem(self.width, norm=self.norm, dtype=self.dtype, name="stem")(jnp.asarray(images))
        if self.freeze_at >= 1:
            x = lax.stop_gradient(x)
        features = {}
        for stage, num_blocks in enumerate(BLOCKS[self.depth], start=2):
            run = rematerialise(
                partial(_run_stage, stage=stage, num_blocks=num_blocks), on=self.remat
            )
            x = run(self, x)
            if self.freeze_at >= stage:
                x = lax.stop_gradient(x)
            features[f"res{stage}"] = x
        return features

    def _block(self, stage: int, index: int) -> BasicBlock | BottleneckBlock:
        width = self.width * 2 ** (stage - 2)
        stride = 2 if stage > 2 and index == 0 else 1
        name = f"res{stage}_{index}"
        if self.depth < FIRST_BOTTLENECK_DEPTH:
            return _TracedBasicBlock(width, stride, norm=self.norm, dtype=self.dtype, name=name)
        return _TracedBottleneckBlock(
            width,
            stride,
            dilation=self.res5_dilations[index] if stage == 5 else 1,
            stride_in_1x1=self.stride_in_1x1,
            norm=self.norm,
            dtype=self.dtype,
            name=name,
        )


def _run_stage(module: ResNet, x: Array, *, stage: int, num_blocks: int) -> Array:
    for i in range(num_blocks):
        x = module._block(stage, i)(x)
    return x
