"""Swin backbones for images of any size (arXiv 2103.14030, as used for dense prediction).

Unlike the classifier, shifted blocks shift even where a map is not larger than a window, and each
of the four outputs has a norm of its own.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.models.initializers import linear_bias, linear_kernel
from maskformer_jax.models.layers import layer_norm, rematerialise
from maskformer_jax.precision import wide_dtype, widen
from maskformer_jax.resize import pad_bottom_right, padded_size
from maskformer_jax.windows import relative_position_index, shift_regions

PATCH = 4  # side of a patch in pixels
MLP_RATIO = 4  # inner width of a block's feed-forward part over its width
MASKED = -100.0  # added to logits between tokens of different regions; finite, as published


class PatchEmbedding(nn.Module):
    """Linear projection of 4x4 patches, then layer norm."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b _ _ _"]:
        """Bring normalised images, padded with zeros to whole patches, to stride 4."""
        height, width = images.shape[1:3]
        x = pad_bottom_right(images, padded_size((height, width), PATCH), axes=(1, 2))
        x = nn.Conv(
            self.features,
            (PATCH, PATCH),
            strides=(PATCH, PATCH),
            padding="VALID",
            kernel_init=linear_kernel,
            bias_init=linear_bias(PATCH * PATCH * images.shape[-1]),
            dtype=self.dtype,
            name="proj",
        )(x)
        return layer_norm("norm")(x)


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learned bias for each relative position.

    Attributes:
        num_heads: attention heads.
        window: side of a window.
        shift: by which the windows are moved down and right; 0: not at all.
        dtype: of the computation; the softmax is float32.
    """

    num_heads: int
    window: int
    shift: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        """Attend; maps that are no whole number of windows are padded with zeros."""
        height, width, channels = x.shape[1:]
        padded = padded_size((height, width), self.window)
        x = pad_bottom_right(x, padded, axes=(1, 2))
        if self.shift:
            x = jnp.roll(x, (-self.shift, -self.shift), axis=(1, 2))
        x = join_windows(self._attend(split_windows(x, self.window), padded), padded)
        if self.shift:
            x = jnp.roll(x, (self.shift, self.shift), axis=(1, 2))
        return _dense(channels, channels, dtype=self.dtype, name="proj")(x[:, :height, :width])

    def _attend(
        self, x: Float[Array, "b n s d"], padded: tuple[int, int]
    ) -> Float[Array, "b n s d"]:
        channels = x.shape[-1]
        head_dim = channels // self.num_heads
        qkv = _dense(3 * channels, channels, dtype=self.dtype, name="qkv")(x)
        qkv = qkv.reshape(*x.shape[:-1], 3, self.num_heads, head_dim)
        q, k, v = (qkv[..., part, :, :] for part in range(3))
        logits = jnp.einsum(
            "bnqmd,bnkmd->bnmqk",
            q * head_dim**-0.5,
            k,
            preferred_element_type=wide_dtype(q.dtype),
        )
        logits = logits + self._relative_bias()[None, None]
        if self.shift:
            regions = shift_regions(*padded, window=self.window, shift=self.shift)
            # The barrier keeps the compiler from writing the mask of all pairs into the program.
            region = lax.optimization_barrier(jnp.asarray(regions))
            apart = region[:, None, :, None] != region[:, None, None, :]
            logits = logits + jnp.where(apart, MASKED, 0.0)[None].astype(logits.dtype)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        return jnp.einsum("bnmqk,bnkmd->bnqmd", weights, v).reshape(x.shape)

    def _relative_bias(self) -> Float[Array, "m s s"]:
        table = self.param(
            "relative_position_bias_table",
            nn.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0),  # cut at +-2
            ((2 * self.window - 1) ** 2, self.num_heads),
        )
        return table[relative_position_index(self.window)].transpose(2, 0, 1)


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
        self, x: Float[Array, "b h w d"], *, train: bool = False
    ) -> Float[Array, "b h w d"]:
        """Add both branches to the input."""
        # One draw for all that an image's branch yields; what stays is scaled up.
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3), deterministic=not train)
        attention = WindowAttention(
            self.num_heads, self.window, self.shift, dtype=self.dtype, name="attention"
        )
        x = x + drop(attention(layer_norm("norm1")(x)))
        return x + drop(self._feed_forward(layer_norm("norm2")(x)))

    def _feed_forward(self, x: Float[Array, "b h w d"]) -> Float[Array, "b h w d"]:
        channels = x.shape[-1]
        inner = MLP_RATIO * channels
        x = _dense(inner, channels, dtype=self.dtype, name="linear1")(x)
        x = jax.nn.gelu(x, approximate=False)
        return _dense(channels, inner, dtype=self.dtype, name="linear2")(x)


# Blocks that are alike are traced once: deep networks start sooner, and are smaller to compile.
_TracedSwinBlock = nn.jit(SwinBlock, static_argnames=("train",))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w d"]) -> Float[Array, "b _ _ _"]:
        """Halve the map; odd sides are padded with zeros."""
        height, width, channels = x.shape[1:]
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
        self, images: Float[Array | np.ndarray, "b h w 3"], *, train: bool = False
    ) -> dict[str, Float[Array, "b _ _ _"]]:
        """Compute "res2" .. "res5" [B,h,w,C] of normalised images; h and w round up."""
        rates = iter(np.linspace(0, self.drop_path, sum(self.depths)).tolist())
        x = PatchEmbedding(self.embed_dim, dtype=self.dtype, name="patch_embed")(
            jnp.asarray(images)
        )
        features = {}
        for stage, (depth, num_heads) in enumerate(
            zip(self.depths, self.num_heads, strict=True), start=2
        ):
            if stage > 2:
                x = PatchMerging(dtype=self.dtype, name=f"merge_res{stage}")(x)
            x = widen(x)
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
                x = rematerialise(partial(_run_block, train=train), on=self.remat)(block, x)
            features[f"res{stage}"] = layer_norm(f"norm_res{stage}")(x)
        return features


def _run_block(block: SwinBlock, x: Array, *, train: bool) -> Array:
    return block(x, train=train)


def split_windows(x: Float[Array, "b h w d"], window: int) -> Float[Array, "b n s d"]:
    """Cut a map into windows, row by row; its sides are multiples of `window`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window, window, width // window, window, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, window * window, channels)


def join_windows(x: Float[Array, "b n s d"], size: tuple[int, int]) -> Float[Array, "b h w d"]:
    """Put windows together to a map of `size` again."""
    height, width = size
    batch, _, tokens, channels = x.shape
    window = round(tokens**0.5)
    x = x.reshape(batch, height // window, width // window, window, window, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def _dense(features: int, fan_in: int, *, dtype: DTypeLike, name: str) -> nn.Dense:
    return nn.Dense(
        features,
        kernel_init=linear_kernel,
        bias_init=linear_bias(fan_in),
        dtype=dtype,
        name=name,
    )
