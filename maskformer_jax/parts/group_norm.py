"""Group norm (arXiv 1803.08494), with all statistics from one pass over the map."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from maskformer_jax.parts.extent import Extent, clear_outside
from maskformer_jax.precision import at_least_float32

NORM_GROUPS = 32


class GroupNorm(nn.Module):
    """Normalise groups of channels over each image, then scale and shift each channel.

    Flax's group norm takes the mean first and the variance in a second pass, forward and backward;
    maps of stride 4 are so large that reading them is what a norm costs. Here each channel is
    summed once, as is its square, both after subtracting the mean of the first row: without that
    the difference of the two would lose digits where the mean is large. Sums of groups are then
    those of their channels.

    Attributes:
        dtype: of the result; statistics are at least float32.
        epsilon: added to the variance.
    """

    dtype: DTypeLike = jnp.float32
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], extent: Extent = None) -> Array:
        """Normalise over each image, inside of its extent."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        x = at_least_float32(x)
        height, width = _size(x, extent)
        first_row = clear_outside(x[:, :1], None if extent is None else extent.at[:, 0].set(1))
        # A constant as far as gradients go: results do not depend on it.
        shift = jax.lax.stop_gradient(first_row.sum((1, 2)) / width)
        shifted = x - shift[:, None, None]
        used = clear_outside(shifted, extent)
        mean = _sum_pixels(used) / (height * width)
        square = _sum_pixels(used * used) / (height * width)

        group_mean = _over_groups(shift + mean)
        offset = shift - group_mean
        variance = _over_groups(square + 2 * offset * mean + offset * offset)
        factor = jax.lax.rsqrt(variance + self.epsilon) * scale[None]
        result = shifted * factor[:, None, None] + (bias[None] + offset * factor)[:, None, None]
        return result.astype(self.dtype)


def _size(x: Array, extent: Extent) -> tuple[Array | int, Array | int]:
    """Height and width of the images, [b, 1] where they have extents."""
    if extent is None:
        return x.shape[1], x.shape[2]
    height, width = extent[:, :1], extent[:, 1:]
    return height.astype(x.dtype), width.astype(x.dtype)


def _sum_pixels(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    # Rows first: a CPU adds them side by side, and the shorter sums lose fewer digits.
    return x.sum(1).sum(1)


def _over_groups(x: Float[Array, "b c"]) -> Float[Array, "b c"]:
    """The mean over the channels of each group, for each of them."""
    batch, channels = x.shape
    means = x.reshape(batch, NORM_GROUPS, -1).mean(-1)
    return jnp.repeat(means, channels // NORM_GROUPS, axis=1)
