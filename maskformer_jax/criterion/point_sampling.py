"""Points at which masks are compared instead of at all pixels (PointRend, arXiv 1912.08193).

Mask2Former (arXiv 2112.01527, section 3.3) uses them for mask losses and in matching. Points are
(y, x) in 0..1, from the top left corner of the padded image to its bottom right one.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from maskformer_jax.resize import bilinear_taps_at

OVERSAMPLE_RATIO = 3  # candidates drawn for each point
IMPORTANCE_RATIO = 0.75  # share of the points that are the least certain candidates


def sample_bilinear(
    maps: Float[Array, "*n h w"], points: Float[Array, "*m p 2"]
) -> Float[Array, "*k p"]:
    """The values of maps at points, interpolated as in `resize_bilinear`.

    Leading axes of both broadcast.
    """
    height, width = maps.shape[-2:]
    flat = maps.reshape(*maps.shape[:-2], -1)
    (top, bottom, down), (left, right, along) = (
        bilinear_taps_at(points[..., axis] * length, length)
        for axis, length in ((0, height), (1, width))
    )

    def at(rows: Array, columns: Array) -> Array:
        return jnp.take_along_axis(flat, rows * width + columns, axis=-1)

    upper = at(top, left) * (1 - along) + at(top, right) * along
    lower = at(bottom, left) * (1 - along) + at(bottom, right) * along
    return upper * (1 - down) + lower * down


def draw_uncertain_points(
    key: Array, mask_logits: Float[Array, "*n h w"], *, count: int
) -> Float[Array, "*n p 2"]:
    """Draw points for each mask, three quarters of them where its logits are nearest to zero.

    Those are the least certain of three times as many uniform candidates; the last quarter is
    uniform.
    """
    *leading, _, _ = mask_logits.shape
    mask_logits = jax.lax.stop_gradient(mask_logits)
    first, second = jax.random.split(key)
    drawn = jax.random.uniform(first, (*leading, OVERSAMPLE_RATIO * count, 2), mask_logits.dtype)
    certainty = jnp.abs(sample_bilinear(mask_logits, drawn))
    important = int(IMPORTANCE_RATIO * count)
    _, index = jax.lax.top_k(-certainty, important)
    least_certain = jnp.take_along_axis(drawn, index[..., None], axis=-2)
    others = jax.random.uniform(second, (*leading, count - important, 2), mask_logits.dtype)
    return jnp.concatenate([least_certain, others], axis=-2)
