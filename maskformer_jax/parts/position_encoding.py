"""Sine position encoding (paper section 3.4, after DETR, arXiv 2005.12872, appendix A.4)."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maskformer_jax.parts.extent import Extent

TEMPERATURE = 10_000.0
EPSILON = 1e-6  # DETR's guard against empty padding masks; it shifts the encoding of small maps


def encode_positions(
    height: int, width: int, *, dim: int, extent: Extent = None
) -> Float[Array, "_ {height} {width} {dim}"]:
    """Encode every cell of a grid: `dim / 2` channels for its row, then as many for its column.

    Rows and columns count from 1 and are scaled to (0, 2 pi]; even channels are sines and odd
    channels cosines, interleaved. Computed in float32, as the published model does.

    Args:
        height: rows of the feature map.
        width: columns of the feature map.
        dim: channels of the encoding, a multiple of 4.
        extent: of each image in the map; without it, all images share one encoding [1, ...].
    """
    per_axis = dim // 2
    exponent = 2 * (np.arange(per_axis) // 2) / per_axis
    period = jnp.asarray(TEMPERATURE**exponent, jnp.float32)

    def encode_axis(length: int, end: Float[Array, "b 1"]) -> Float[Array, "b {length} _"]:
        index = jnp.arange(1, length + 1, dtype=jnp.float32)[None]
        angle = index / (end + jnp.float32(EPSILON)) * jnp.float32(2 * math.pi)
        angle = angle[:, :, None] / period[None, None]
        pairs = jnp.stack([jnp.sin(angle[..., 0::2]), jnp.cos(angle[..., 1::2])], axis=-1)
        return pairs.reshape(len(end), length, per_axis)

    ends = jnp.array([[height, width]]) if extent is None else extent
    ends = ends.astype(jnp.float32)
    rows, columns = encode_axis(height, ends[:, :1]), encode_axis(width, ends[:, 1:])
    grid = (len(ends), height, width, per_axis)
    return jnp.concatenate(
        [jnp.broadcast_to(rows[:, :, None], grid), jnp.broadcast_to(columns[:, None], grid)],
        axis=-1,
    )
