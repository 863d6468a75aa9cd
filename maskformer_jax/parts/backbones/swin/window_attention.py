"""Self-attention inside shifted windows (arXiv 2103.14030, section 3.2)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from maskformer_jax.parts.backbones.swin.group_attention import attend_in_groups
from maskformer_jax.parts.backbones.swin.window_groups import (
    choose_grouping,
    from_groups,
    group_bias,
    group_regions,
    to_groups,
)
from maskformer_jax.parts.backbones.swin.window_moves import (
    from_windows,
    to_windows,
    window_regions,
)
from maskformer_jax.parts.backbones.swin.windows import MASKED, relative_position_index
from maskformer_jax.parts.extent import Extent, clear_outside
from maskformer_jax.parts.layers import LinearParameters, torch_dense
from maskformer_jax.parts.products import multiply_kernel, project
from maskformer_jax.precision import at_least_float32_dtype


class Parameters(NamedTuple):
    """What a window's attention has learned."""

    kernel: Float[Array, "d e"]  # of queries, keys and values
    bias: Float[Array, " e"]
    positions: Float[Array, "m s s"]  # added to the logits of queries and keys of each head


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
        channels = x.shape[-1]
        x = clear_outside(x.astype(self.dtype), extent)
        kernel, bias = LinearParameters(3 * channels, fan_in=channels, name="qkv")()
        parameters = Parameters(
            kernel.astype(self.dtype), bias.astype(self.dtype), self._relative_bias()
        )
        x = lax.platform_dependent(
            x,
            parameters,
            extent,
            tpu=partial(attend_by_groups, window=self.window, shift=self.shift),
            default=partial(attend_by_windows, window=self.window, shift=self.shift),
        )
        return torch_dense(channels, fan_in=channels, dtype=self.dtype, name="proj")(x)

    def _relative_bias(self) -> Float[Array, "m s s"]:
        table = self.param(
            "relative_position_bias_table",
            nn.initializers.truncated_normal(0.02, lower=-100.0, upper=100.0),  # cut at +-2
            ((2 * self.window - 1) ** 2, self.num_heads),
        )
        index = jnp.asarray(relative_position_index(self.window), jnp.int32)
        return table[index].transpose(2, 0, 1)


def attend_by_windows(
    x: Float[Array, "b h w d"], parameters: Parameters, extent: Extent, *, window: int, shift: int
) -> Float[Array, "b h w d"]:
    """Cut maps into windows, attend in each, and join the heads.

    Args:
        x: maps, zero outside of their extents.
        parameters: of the attention.
        extent: of each map.
        window: side of a window.
        shift: of the windows.
    """
    size = (x.shape[1], x.shape[2])
    windows = to_windows(x, window, shift=shift, extent=extent)
    qkv = multiply_kernel(windows, parameters.kernel) + parameters.bias[None, None, None]
    num_heads = len(parameters.positions)
    heads = (*windows.shape[:-1], num_heads, windows.shape[-1] // num_heads)
    q, k, v = (part.reshape(heads) for part in jnp.split(qkv, 3, axis=-1))
    logits = jnp.einsum(
        "bnqmd,bnkmd->bnmqk",
        q * heads[-1] ** -0.5,
        k,
        preferred_element_type=at_least_float32_dtype(q.dtype),
    )
    logits = logits + parameters.positions[None, None]
    if shift:
        region = window_regions(size, extent, window=window, shift=shift)[:, :, None]
        apart = region[..., :, None] != region[..., None, :]
        logits = logits + jnp.where(apart, MASKED, 0.0).astype(logits.dtype)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    out = jnp.einsum("bnmqk,bnkmd->bnqmd", weights, v).reshape(windows.shape)
    return from_windows(out, size, shift=shift, extent=extent)


def attend_by_groups(
    x: Float[Array, "b h w d"], parameters: Parameters, extent: Extent, *, window: int, shift: int
) -> Float[Array, "b h w d"]:
    """`attend_by_windows` for a TPU."""
    size = (x.shape[1], x.shape[2])
    grouping = choose_grouping(window, size[1])
    groups = to_groups(x, grouping, shift=shift, extent=extent)
    qkv = project(groups, parameters.kernel, parameters.bias)
    num_heads = len(parameters.positions)
    heads = (*groups.shape[:-1], num_heads, groups.shape[-1] // num_heads)
    q, k, v = (part.reshape(heads).transpose(0, 1, 3, 4, 2) for part in jnp.split(qkv, 3, axis=-1))
    regions = None
    if shift:
        regions = window_regions(size, extent, window=window, shift=shift)
        regions = group_regions(regions, size[1], grouping)
    bias = group_bias(parameters.positions, grouping)
    out = attend_in_groups(q * heads[-1] ** -0.5, k, v, bias, regions)
    out = out.transpose(0, 1, 4, 2, 3).reshape(groups.shape)
    return from_groups(out, size, grouping, shift=shift, extent=extent)
