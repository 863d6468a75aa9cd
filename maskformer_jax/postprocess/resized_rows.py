"""Bilinear resizing of maps a few rows at a time, with sizes known beforehand or as data.

With sizes known beforehand, each pixel is mixed from two that are gathered, and its value does not
depend on the band in which it is computed. With sizes as data, rows and columns are mixed by matrix
products with two weights in each row of the matrix, block by block, so that few of the products are
with zero: devices multiply matrices faster than they gather columns (docs/benchmarks.md). The two
differ by rounding.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.image_sizes import MapWork
from maskformer_jax.postprocess.row_bands import ReadColumns, RowFunction, take
from maskformer_jax.resize import Taps, bilinear_taps, bilinear_taps_of_data
from maskformer_jax.types import Size

_MOST_BLOCKS = 16  # of columns that are mixed at once


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
        return above * (1 - weight) + below * weight

    def _mix_columns(maps: Array) -> Array:
        low, high, fraction = bilinear_taps(maps.shape[-1], width)
        weight = jnp.asarray(fraction, maps.dtype)[None, None]
        left, right = take(maps, low, axis=-1), take(maps, high, axis=-1)
        return left * (1 - weight) + right * weight

    return rows_function


def resized_within(
    source: RowFunction,
    *,
    from_size: tuple[Array, Array],
    to_size: tuple[Array, Array],
    from_bound: Size,
    to_bound: Size,
    shrinkage: float,
    work: MapWork,
    read: ReadColumns | None = None,
) -> RowFunction:
    """`resized` where the sizes are data within static bounds.

    Args:
        source: the rows of maps as large as `from_bound`, of which `from_size` is resized. What
            they hold outside of that must be finite.
        from_size: (height, width), int32 scalars.
        to_size: (height, width), int32 scalars.
        from_bound: at least `from_size`.
        to_bound: at least `to_size`; the rows of the result have its width.
        shrinkage: at least each side before over the side after resizing; an image's size divided
            by a stride may be rounded up.
        work: how the device works on maps.
        read: called with blocks of columns as they come, in place of returning the maps.
    """

    def rows_function(rows: Int[Array, " n"]) -> Array:
        taps = bilinear_taps_of_data(rows, from_size[0], to_size[0])
        needed = _span(len(rows), from_bound[0], shrinkage)
        start = jnp.minimum(taps.first[0], from_bound[0] - needed)
        maps = source(start + jnp.arange(needed, dtype=jnp.int32))
        matrix = _matrix(taps, start, needed, dtype=maps.dtype)

        columns = jnp.arange(to_bound[1], dtype=jnp.int32)
        taps = bilinear_taps_of_data(columns, from_size[1], to_size[1])

        def mix_rows(maps: Array) -> Array:
            return jnp.einsum("on,cnw->cow", matrix, maps, precision=work.precision)

        def mix_columns(maps: Array, read: ReadColumns | None) -> Array:
            return _multiply_columns(maps, taps, shrinkage=shrinkage, work=work, read=read)

        if shrinkage > 0.5:
            return mix_columns(mix_rows(maps), read)
        # Where one row becomes several, columns come first, while rows are few.
        mixed = mix_rows(mix_columns(maps, None))
        return mixed if read is None else read(mixed)

    return rows_function


def _multiply_columns(
    maps: Float[Array, "c n w"],
    taps: Taps,
    *,
    shrinkage: float,
    work: MapWork,
    read: ReadColumns | None,
) -> Array:
    """Columns of a result, from those of maps, or what `read` makes of them."""
    width, length = maps.shape[2], len(taps.first)
    block = max(work.block, -(-length // _MOST_BLOCKS))
    mixed = []
    for begin in range(0, length, block):
        part = Taps(*(tap[begin : begin + block] for tap in taps))
        needed = _span(len(part.first), width, shrinkage)
        start = jnp.minimum(part.first[0], width - needed)
        columns = jax.lax.dynamic_slice_in_dim(maps, start, needed, axis=2)
        matrix = _matrix(part, start, needed, dtype=maps.dtype)
        result = jnp.einsum("ow,cnw->cno", matrix, columns, precision=work.precision)
        mixed.append(result if read is None else read(result))
    return mixed[0] if len(mixed) == 1 else jnp.concatenate(mixed, axis=-1)


def _span(length: int, most: int, shrinkage: float) -> int:
    """How many source pixels `length` consecutive pixels of a result need at most."""
    # Their samples span (length - 1) * shrinkage pixels, between up to three more, and one where
    # a size was rounded up.
    return min(math.floor((length - 1) * shrinkage) + 4, most)


def _matrix(taps: Taps, start: Array, length: int, *, dtype: jnp.dtype) -> Float[Array, "o n"]:
    """Weights of source pixels start, ..., start + length - 1 in pixels of the result."""
    index = start + jnp.arange(length, dtype=jnp.int32)[None]
    weight = taps.weight.astype(dtype)[:, None]
    zero = jnp.zeros((), dtype)
    first = jnp.where(index == taps.first[:, None], 1 - weight, zero)
    return first + jnp.where(index == taps.second[:, None], weight, zero)
