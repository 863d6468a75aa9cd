"""Bilinear resizing of maps a few rows at a time, with sizes known beforehand or as data."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.row_bands import RowFunction, take
from maskformer_jax.resize import bilinear_taps, bilinear_taps_of_data
from maskformer_jax.types import Size


def resized(source: RowFunction, *, from_size: Size, to_size: Size) -> RowFunction:
    """The rows of bilinearly resized maps, as `resize.resize_bilinear` defines them.

    Args:
        source: the rows of the maps to resize.
        from_size: of these maps.
        to_size: of the resized maps.
    """
    height, width = to_size

    def rows_function(rows: Int[Array, " n"]) -> Float[Array, "c n w"]:
        maps = source(rows) if from_size[0] == height else _mix_rows(source, rows, from_size[0])
        return maps if from_size[1] == width else _mix_columns(maps)

    def _mix_rows(source: RowFunction, rows: Array, in_height: int) -> Array:
        low, high, fraction = bilinear_taps(in_height, height)
        # Upper bound on the source rows that any `len(rows)` consecutive rows need.
        last = np.minimum(np.arange(height) + len(rows), height) - 1
        needed = int((high[last] - low).max()) + 1
        first, second = jnp.asarray(low)[rows], jnp.asarray(high)[rows]
        start = jnp.minimum(first[0], in_height - needed)
        maps = source(start + jnp.arange(needed, dtype=jnp.int32))
        weight = jnp.asarray(fraction, maps.dtype)[rows][None, :, None]
        above, below = take(maps, first - start, axis=1), take(maps, second - start, axis=1)
        return _mix(above, below, weight)

    def _mix_columns(maps: Array) -> Array:
        low, high, fraction = bilinear_taps(maps.shape[-1], width)
        weight = jnp.asarray(fraction, maps.dtype)[None, None]
        return _mix(take(maps, low, axis=-1), take(maps, high, axis=-1), weight)

    return rows_function


def resized_within(
    source: RowFunction,
    *,
    from_size: tuple[Array, Array],
    to_size: tuple[Array, Array],
    from_bound: Size,
    to_bound: Size,
    shrinkage: float,
) -> RowFunction:
    """`resized` where the sizes are data within static bounds.

    Args:
        source: the rows of maps as large as `from_bound`, of which `from_size` is resized.
        from_size: (height, width), int32 scalars.
        to_size: (height, width), int32 scalars.
        from_bound: at least `from_size`.
        to_bound: at least `to_size`; the rows of the result have its width.
        shrinkage: at least the height before over the height after resizing.
    """

    def rows_function(rows: Int[Array, " n"]) -> Float[Array, "c n w"]:
        first, second, weight = bilinear_taps_of_data(rows, from_size[0], to_size[0])
        # The samples of n rows span (n - 1) * shrinkage source rows, between up to three more.
        needed = min(math.floor((len(rows) - 1) * shrinkage) + 3, from_bound[0])
        start = jnp.minimum(first[0], from_bound[0] - needed)
        maps = source(start + jnp.arange(needed, dtype=jnp.int32))
        above, below = take(maps, first - start, axis=1), take(maps, second - start, axis=1)
        maps = _mix(above, below, weight[None, :, None])
        columns = jnp.arange(to_bound[1], dtype=jnp.int32)
        left, right, weight = bilinear_taps_of_data(columns, from_size[1], to_size[1])
        return _mix(take(maps, left, axis=-1), take(maps, right, axis=-1), weight[None, None])

    return rows_function


def _mix(first: Array, second: Array, weight: Array) -> Array:
    weight = weight.astype(first.dtype)
    return first * (1 - weight) + second * weight
