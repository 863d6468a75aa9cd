"""Self-attention inside shifted windows (arXiv 2103.14030, section 3.2)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from maskformer_jax.parts.backbones.swin.window_moves import from_windows, to_windows
from maskformer_jax.parts.backbones.swin.windows import (
    relative_position_index,
    shift_regions,
    shift_regions_within,
)
from maskformer_jax.parts.extent import Extent, clear_outside, padded_extent
from maskformer_jax.parts.layers import torch_dense
from maskformer_jax.precision import at_least_float32_dtype
from maskformer_jax.resize import padded_size

MASKED = -100.0  # added to logits between tokens of different regions; finite, as published


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learned bias for each relative position.

    Attributes:
        num_heads: attention heads.
        window: side of a window.
        shift: tokens by which the windows are moved down and right; 0: no shift.
        dtype: of the computation; the softmax is float32.
    """

    num_heads: int
    window: int
    shift: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w d"], extent: Extent = None
    ) -> Float[Array, "b h w d"]:
        """Attend; maps are padded with zeros to a whole number of windows."""
        height, width, channels = x.shape[1:]
        x = clear_outside(x.astype(self.dtype), extent)
        windows = to_windows(x, self.window, shift=self.shift, extent=extent)
        padded = padded_size((height, width), self.window)
        windows = self._attend(windows, padded, padded_extent(extent, self.window))
        x = from_windows(windows, (height, width), shift=self.shift, extent=extent)
        return torch_dense(channels, fan_in=channels, dtype=self.dtype, name="proj")(x)

    def _attend(
        self, x: Float[Array, "b n s d"], padded: tuple[int, int], edge: Extent
    ) -> Float[Array, "b n s d"]:
        channels = x.shape[-1]
        head_dim = channels // self.num_heads
        qkv = torch_dense(3 * channels, fan_in=channels, dtype=self.dtype, name="qkv")(x)
        # Split before the heads are told apart: a TPU copies less.
        heads = (*x.shape[:-1], self.num_heads, head_dim)
        q, k, v = (part.reshape(heads) for part in jnp.split(qkv, 3, axis=-1))
        logits = jnp.einsum(
            "bnqmd,bnkmd->bnmqk",
            q * head_dim**-0.5,
            k,
            preferred_element_type=at_least_float32_dtype(q.dtype),
        )
        logits = logits + self._relative_bias()[None, None]
        if self.shift:
            region = self._regions(padded, edge)[:, :, None]
            apart = region[..., :, None] != region[..., None, :]
            logits = logits + jnp.where(apart, MASKED, 0.0).astype(logits.dtype)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        return jnp.einsum("bnmqk,bnkmd->bnqmd", weights, v).reshape(x.shape)

    def _regions(self, padded: tuple[int, int], edge: Extent) -> Int[Array, "_ n s"]:
        if edge is not None:
            return shift_regions_within(edge, padded, window=self.window, shift=self.shift)
        regions = shift_regions(*padded, window=self.window, shift=self.shift)
        # The barrier keeps the compiler from writing the mask of all pairs into the program.
        return lax.optimization_barrier(jnp.asarray(regions))[None]

    def _relative_bias(self) -> Float[Array, "m s s"]:
        table = self.param(
            "relative_position_bias_table",
            nn.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0),  # cut at +-2
            ((2 * self.window - 1) ** 2, self.num_heads),
        )
        index = jnp.asarray(relative_position_index(self.window), jnp.int32)
        return table[index].transpose(2, 0, 1)
