"""ResNet backbones with frozen batch norm (arXiv 1512.03385; detectron2's placement of strides)."""

from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.backbones.resnet.blocks import (
    BasicBlock,
    BottleneckBlock,
    DeepLabStem,
    Norm,
    Stem,
)
from maskformer_jax.parts.backbones.resnet.config import (
    FIRST_BOTTLENECK_DEPTH,
    ResNetConfig,
)
from maskformer_jax.parts.extent import Extent, at_stride
from maskformer_jax.parts.layers import rematerialize

BLOCKS: dict[int, tuple[int, int, int, int]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}


# Equal blocks are traced once, so that deep networks trace faster and compile a smaller program.
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
        norm: "frozen_batch_norm" for pretrained weights; "group_norm" (32 groups) for training
            from scratch, where constants in place of a norm hardly learn.
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
        self,
        images: Float[Array | np.ndarray, "b h w 3"],
        *,
        train: bool = False,
        extent: Extent = None,
    ) -> dict[int, Float[Array, "b _ _ _"]]:
        """Compute feature maps [B,h,w,C] of preprocessed images by their stride, 4 to 32.

        Sizes round up.

        Args:
            images: normalised.
            train: changes nothing; all backbones take it.
            extent: of each image, padding included; None: all of the batch.
        """
        del train
        make_stem = DeepLabStem if self.stem == "deeplab" else Stem
        stem = make_stem(self.width, norm=self.norm, dtype=self.dtype, name="stem")
        x = stem(jnp.asarray(images), extent)
        if self.freeze_at >= 1:
            x = lax.stop_gradient(x)
        features = {}
        for stage, num_blocks in enumerate(BLOCKS[self.depth], start=2):
            run = rematerialize(
                partial(_run_stage, stage=stage, num_blocks=num_blocks), on=self.remat
            )
            x = run(self, x, at_stride(extent, max(2 ** (stage - 1), 4)))
            if self.freeze_at >= stage:
                x = lax.stop_gradient(x)
            features[2**stage] = x
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


def _run_stage(module: ResNet, x: Array, extent: Extent, *, stage: int, num_blocks: int) -> Array:
    for i in range(num_blocks):
        block = module._block(stage, i)
        x = block(x, extent)
        extent = at_stride(extent, block.stride)
    return x


def build(config: ResNetConfig, *, dtype: DTypeLike, remat: bool) -> ResNet:
    """Make the module of these settings."""
    return ResNet(**config.settings(), dtype=dtype, remat=remat)
