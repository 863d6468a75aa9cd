"""Losses on some points instead of all pixels (PointRend, arXiv 1912.08193).

Mask2Former (arXiv 2112.01527, section 3.3) brought them to masks, in the matching too. Points are
(y, x) in 0..1 from the top left corner of the padded image to the bottom right one.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

OVERSAMPLE = 3  # points drawn for each one kept
IMPORTANCE = 0.75  # part of the points that are the least certain of those drawn


def sample_bilinear(
    maps: Float[Array, "*n h w"], points: Float[Array, "*m p 2"]
) -> Float[Array, "*k p"]:
    """The value of maps at points, as `resize_bilinear` would have it there.

    The leading axes of both broadcast.
    """
    height, width = maps.shape[-2:]
    flat = maps.reshape(*maps.shape[:-2], -1)
    (top, bottom, down), (left, right, along) = (
        _neighbours(points[..., axis], length) for axis, length in ((0, height), (1, width))
    )

    def at(rows: Array, columns: Array) -> Array:
        return jnp.take_along_axis(flat, rows * width + columns, axis=-1)

    upper = at(top, left) * (1 - along) + at(top, right) * along
    lower = at(bottom, left) * (1 - along) + at(bottom, right) * along
    return upper * (1 - down) + lower * down


def uncertain_points(
    key: Array, mask_logits: Float[Array, "*n h w"], *, count: int
) -> Float[Array, "*n p 2"]:
    """Draw points for each mask, three quarters of them where its logits are nearest to zero."""
    *leading, _, _ = mask_logits.shape
    mask_logits = jax.lax.stop_gradient(mask_logits)
    first, second = jax.random.split(key)
    drawn = jax.random.uniform(first, (*leading, OVERSAMPLE * count, 2), mask_logits.dtype)
    certainty = jnp.abs(sample_bilinear(mask_logits, drawn))
    important = int(IMPORTANCE * count)
    _, index = jax.lax.top_k(-certainty, important)
    least_certain = jnp.take_along_axis(drawn, index[..., None], axis=-2)
    others = jax.random.uniform(second, (*leading, count - important, 2), mask_logits.dtype)
    return jnp.concatenate([least_certain, others], axis=-2)


def _neighbours(position: Array, length: int) -> tuple[Array, Array, Array]:
    """The two pixels around each position and the weight of the second."""
    source = jnp.maximum(position * length - 0.5, 0)
    low = jnp.minimum(jnp.floor(source).astype(jnp.int32), length - 1)
    high = jnp.minimum(low + 1, length - 1)
    return low, high, source - low
