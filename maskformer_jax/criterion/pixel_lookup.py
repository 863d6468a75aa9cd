"""Values of maps at the pixels of a smaller grid, or at the pixels that points lie in.

Points are (y, x) in 0..1, from the top left corner of the padded image to its bottom right one.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.resize import nearest_indices
from maskformer_jax.types import Size


def nearest_grid(size: Size, new_size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns that resizing by `resize.nearest_indices` takes."""
    return nearest_indices(size[0], new_size[0]), nearest_indices(size[1], new_size[1])


def take_grid(maps: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    """The pixels of the last two axes where some rows and columns cross."""
    return jnp.take(jnp.take(maps, rows, axis=-2), columns, axis=-1)


def pixels_of_points(
    points: Float[Array, "*n p 2"], size: Size
) -> tuple[Int[Array, "*n p"], Int[Array, "*n p"]]:
    """Row and column of the pixel that each point lies in."""
    scale = jnp.expand_dims(jnp.asarray(size, points.dtype), tuple(range(points.ndim - 1)))
    scaled = jnp.floor(points * scale).astype(jnp.int32)
    rows, columns = (jnp.clip(scaled[..., i], 0, size[i] - 1) for i in range(2))
    return rows, columns


def take_pixels(maps: Array, rows: Array, columns: Array) -> Array:
    """The pixels at pairs of row and column, one list of pairs for each map."""
    index = rows * maps.shape[-1] + columns
    return jnp.take_along_axis(maps.reshape(*maps.shape[:-2], -1), index, axis=-1)
