"""Bilinear resizing of maps a few rows at a time, with sizes known beforehand or as data.

With sizes known beforehand, each pixel is mixed from two that are gathered, and its value does not
depend on the band in which it is computed. With sizes as data, rows and columns are mixed by matrix
products with two weights in each row of the matrix, block by block, so that few of the products are
with zero: devices multiply matrices faster than they gather columns (docs/benchmarks.md). The two
differ by rounding.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class Resize(NamedTuple):
    """A bilinear resize whose sizes are data within static bounds."""

    from_size: tuple[Any, Any]  # (height, width), int32 scalars
    to_size: tuple[Any, Any]  # likewise
    from_bound: Size  # at least `from_size`
    to_bound: Size  # at least `to_size`
    # At least each side before over the side after; an image's size divided by a stride may be
    # rounded up.
    shrinkage: float


def resized_within(
    source: RowFunction,
    resizes: Sequence[Resize],
    *,
    work: MapWork,
    read: ReadColumns | None = None,
) -> RowFunction:
    """`resized` where the sizes are data within static bounds, once or several times in a row.

    What is linear in the pixels is multiplied before it meets them: two resizes cost no more than
    one, and no map of the size between them exists.

    Args:
        source: the rows of maps as large as the first resize's `from_bound`, of which its
            `from_size` is resized. What they hold outside of that must be finite.
        resizes: in their order. Each but the first may begin with a crop: its `from_size` may be
            less than the `to_size` before.
        work: how the device works on maps.
        read: called with blocks of columns as they come, in place of returning the maps.

    Returns:
        Rows as wide as the last `to_bound`.
    """
    shrinkage = math.prod(resize.shrinkage for resize in resizes)
    width = resizes[-1].to_bound[1]

    def rows_function(rows: Int[Array, " n"]) -> Array:
        start, length, matrix_of = _window(rows, resizes, axis=0)
        maps = source(start + jnp.arange(length, dtype=jnp.int32))
        matrix = matrix_of(maps.dtype)

        def mix_rows(maps: Array) -> Array:
            mixed = jnp.einsum("on,cnw->ocw", matrix, maps, precision=work.precision)
            return mixed.swapaxes(0, 1)

        def mix_columns(maps: Array, read: ReadColumns | None) -> Array:
            return _multiply_columns(maps, resizes, width=width, work=work, read=read)

        if shrinkage > 0.5:
            return mix_columns(mix_rows(maps), read)
        # Where one row becomes several, columns come first, while rows are few.
        mixed = mix_rows(mix_columns(maps, None))
        return mixed if read is None else read(mixed)

    return rows_function


def _multiply_columns(
    maps: Float[Array, "c n w"],
    resizes: Sequence[Resize],
    *,
    width: int,
    work: MapWork,
    read: ReadColumns | None,
) -> Array:
    """Columns of a result, from those of maps, or what `read` makes of them."""
    block = max(work.block, -(-width // _MOST_BLOCKS))
    mixed = []
    for begin in range(0, width, block):
        columns = jnp.arange(begin, min(begin + block, width), dtype=jnp.int32)
        start, length, matrix_of = _window(columns, resizes, axis=1)
        used = jax.lax.dynamic_slice_in_dim(maps, start, length, axis=2)
        matrix = matrix_of(maps.dtype)
        result = jnp.einsum("ow,cnw->cno", matrix, used, precision=work.precision)
        mixed.append(read(result) if read is not None and work.read_by_block else result)
    joined = mixed[0] if len(mixed) == 1 else jnp.concatenate(mixed, axis=-1)
    return joined if read is None or work.read_by_block else read(joined)


class _Window(NamedTuple):
    """What some consecutive pixels of a result are mixed from."""

    start: Array  # the first pixel of the source, int32
    length: int  # of them
    matrix_of: Callable[[jnp.dtype], Float[Array, "o n"]]  # the weights, in a precision


def _window(pixels: Int[Array, " n"], resizes: Sequence[Resize], *, axis: int) -> _Window:
    """The part of the source of these pixels along one axis."""
    steps = []
    for resize in reversed(resizes):
        taps = bilinear_taps_of_data(pixels, resize.from_size[axis], resize.to_size[axis])
        bound = resize.from_bound[axis]
        length = _span(len(pixels), bound, resize.shrinkage)
        start = jnp.minimum(taps.first[0], bound - length)
        pixels = start + jnp.arange(length, dtype=jnp.int32)
        steps.append((taps, pixels))

    def matrix_of(dtype: jnp.dtype) -> Float[Array, "o n"]:
        last, *others = (_matrix(*step, dtype=dtype) for step in steps)
        for one in others:
            last = jnp.matmul(last, one, precision=jax.lax.Precision.HIGHEST)
        return last

    return _Window(start, length, matrix_of)


def _span(length: int, most: int, shrinkage: float) -> int:
    """How many source pixels `length` consecutive pixels of a result need at most."""
    # Their samples span (length - 1) * shrinkage pixels, between up to three more, and one where
    # a size was rounded up.
    return min(math.floor((length - 1) * shrinkage) + 4, most)


def _matrix(taps: Taps, pixels: Int[Array, " n"], *, dtype: jnp.dtype) -> Float[Array, "o n"]:
    """Weights of consecutive source pixels in those of the result."""
    pixels, weight = pixels[None], taps.weight.astype(dtype)[:, None]
    zero = jnp.zeros((), dtype)
    first = jnp.where(pixels == taps.first[:, None], 1 - weight, zero)
    return first + jnp.where(pixels == taps.second[:, None], weight, zero)
