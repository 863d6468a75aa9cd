"""Swin backbones for images of any size (arXiv 2103.14030, as used for dense prediction).

Unlike the classifier, shifted blocks shift even where a map is not larger than a window, and each
of the four outputs has a norm of its own.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.backbones.swin.config import SwinConfig
from maskformer_jax.parts.backbones.swin.window_attention import WindowAttention
from maskformer_jax.parts.extent import Extent, at_stride, clear_outside
from maskformer_jax.parts.gelu import gelu
from maskformer_jax.parts.image_convolution import convolve_image
from maskformer_jax.parts.initializers import linear_bias, linear_kernel
from maskformer_jax.parts.layers import layer_norm, rematerialize, torch_dense
from maskformer_jax.parts.products import multiply_kernel
from maskformer_jax.precision import at_least_float32
from maskformer_jax.resize import pad_bottom_right, padded_size

PATCH = 4  # side of a patch in pixels
MLP_RATIO = 4  # inner width of a block's feed-forward part over its width


class PatchEmbedding(nn.Module):
    """Linear projection of 4x4 patches, then layer norm."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "b h w 3"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Bring normalised images, padded with zeros to whole patches, to stride 4."""
        x = clear_outside(images, extent)
        height, width = images.shape[1:3]
        x = pad_bottom_right(x, padded_size((height, width), PATCH), axes=(1, 2))
        x = nn.Conv(
            self.features,
            (PATCH, PATCH),
            strides=(PATCH, PATCH),
            padding="VALID",
            kernel_init=linear_kernel,
            bias_init=linear_bias(PATCH * PATCH * images.shape[-1]),
            dtype=self.dtype,
            conv_general_dilated=convolve_image,
            name="proj",
        )(x)
        return layer_norm("norm")(x)


class SwinBlock(nn.Module):
    """Window attention and a feed-forward part, each on the normalised input of its branch.

    Attributes:
        num_heads: attention heads.
        window: side of a window.
        shift: of the windows.
        drop_path: probability in training that a branch of an image is left out.
        dtype: of the computation; norms, softmax and residual sums are float32.
    """

    num_heads: int
    window: int
    shift: int = 0
    drop_path: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w d"], extent: Extent = None, *, train: bool = False
    ) -> Float[Array, "b h w d"]:
        """Add both branches to the input."""
        # One draw for each image: its whole branch is dropped, or kept and scaled up.
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3), deterministic=not train)
        attention = WindowAttention(
            self.num_heads, self.window, self.shift, dtype=self.dtype, name="attention"
        )
        x = x + drop(attention(layer_norm("norm1")(x), extent))
        return x + drop(self._feed_forward(layer_norm("norm2")(x)))

    def _feed_forward(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        channels = x.shape[-1]
        inner = MLP_RATIO * channels
        x = torch_dense(inner, fan_in=channels, dtype=self.dtype, name="linear1")(x)
        x = gelu(x)
        return torch_dense(channels, fan_in=inner, dtype=self.dtype, name="linear2")(x)


# Equal blocks are traced once, so that deep networks trace faster and compile a smaller program.
_TracedSwinBlock = nn.jit(SwinBlock, static_argnames=("train",))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w d"], extent: Extent = None
    ) -> Float[Array, "b _ _ _"]:
        """Halve the map; odd sides are padded with zeros."""
        height, width, channels = x.shape[1:]
        x = clear_outside(x, extent)
        x = pad_bottom_right(x, padded_size((height, width), 2), axes=(1, 2))
        # The lower left neighbour comes before the upper right one.
        offsets = ((0, 0), (1, 0), (0, 1), (1, 1))
        x = jnp.concatenate([x[:, row::2, column::2] for row, column in offsets], axis=-1)
        x = layer_norm("norm")(x)
        return nn.Dense(
            2 * channels,
            use_bias=False,
            kernel_init=linear_kernel,
            dtype=self.dtype,
            dot_general=multiply_kernel,
            name="reduction",
        )(x)


class Swin(nn.Module):
    """Features of an image at strides 4, 8, 16 and 32.

    Attributes:
        embed_dim: width of the first stage; it doubles with each.
        depths: blocks of each stage.
        num_heads: attention heads of each stage.
        window: side of a window in tokens.
        drop_path: rate of the last block; it rises linearly from 0 at the first.
        dtype: of the computation; parameters, norms and softmax are float32.
        remat: keep the inputs of each block alone for the gradient.
    """

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    drop_path: float = 0.3
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
            train: turns drop path on, which needs the "dropout" rng.
            extent: of each image, padding included; None: all of the batch.
        """
        rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
        embed = PatchEmbedding(self.embed_dim, dtype=self.dtype, name="patch_embed")
        x = embed(jnp.asarray(images), extent)
        features = {}
        for stage, (depth, num_heads) in enumerate(
            zip(self.depths, self.num_heads, strict=True), start=2
        ):
            if stage > 2:
                merge = PatchMerging(dtype=self.dtype, name=f"merge_res{stage}")
                x = merge(x, at_stride(extent, 2 ** (stage - 1)))
            x = at_least_float32(x)
            stage_extent = at_stride(extent, 2**stage)
            blocks = [
                _TracedSwinBlock(
                    num_heads,
                    self.window,
                    shift=self.window // 2 if i % 2 else 0,
                    drop_path=next(rates) if train else 0.0,
                    dtype=self.dtype,
                    name=f"res{stage}_{i}",
                )
                for i in range(depth)
            ]
            for block in blocks:
                run = rematerialize(partial(_run_block, train=train), on=self.remat)
                x = run(block, x, stage_extent)
            features[2**stage] = layer_norm(f"norm_res{stage}")(x)
        return features


def _run_block(block: SwinBlock, x: Array, extent: Extent, *, train: bool) -> Array:
    return block(x, extent, train=train)


def build(config: SwinConfig, *, dtype: DTypeLike, remat: bool) -> Swin:
    """Make the module of these settings."""
    return Swin(**config.settings(), dtype=dtype, remat=remat)
