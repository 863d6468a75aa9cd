"""Maps that are computed a band of rows at a time, so that Q or K maps of full size never exist.

A `RowFunction` gives any contiguous rows of a stack of maps. Resizing one gives another, which asks
for the few source rows that its own rows need; a chain of them is a whole post-processing, and
`map_bands` runs it over the bands of the output. All rows at once and band by band are the same
arithmetic, so the results are equal.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.resize import Size

# Row indices [n], contiguous and rising, but for repetitions of the last row -> maps [c, n, w].
RowFunction = Callable[[Array], Array]

_BAND_BYTES = 64 * 2**20  # of the maps of one band at output width


def rows_of(maps: Float[Array, "c h w"]) -> RowFunction:
    """The rows of maps that exist."""
    return lambda rows: _take(maps, rows, axis=1)


def cut_columns(source: RowFunction, width: int) -> RowFunction:
    """The first `width` columns of each row."""
    return lambda rows: source(rows)[..., :width]


def resized(source: RowFunction, *, from_size: Size, to_size: Size) -> RowFunction:
    """The rows of bilinearly resized maps, as `resize.resize_bilinear` defines them."""
    height, width = to_size

    def rows_function(rows: Int[Array, " n"]) -> Float[Array, "c n w"]:
        maps = source(rows) if from_size[0] == height else _mix_rows(source, rows, from_size[0])
        return maps if from_size[1] == width else _mix_columns(maps)

    def _mix_rows(source: RowFunction, rows: Array, in_height: int) -> Array:
        low, high, fraction = _taps(in_height, height)
        # Any `len(rows)` rows in a row need at most so many of the source's.
        last = np.minimum(np.arange(height) + len(rows), height) - 1
        needed = int((high[last] - low).max()) + 1
        first, second = jnp.asarray(low)[rows], jnp.asarray(high)[rows]
        start = jnp.minimum(first[0], in_height - needed)
        maps = source(start + jnp.arange(needed, dtype=jnp.int32))
        weight = jnp.asarray(fraction, maps.dtype)[rows][:, None]
        above, below = _take(maps, first - start, axis=1), _take(maps, second - start, axis=1)
        return above * (1 - weight) + below * weight

    def _mix_columns(maps: Array) -> Array:
        low, high, fraction = _taps(maps.shape[-1], width)
        weight = jnp.asarray(fraction, maps.dtype)
        left, right = _take(maps, low, axis=-1), _take(maps, high, axis=-1)
        return left * (1 - weight) + right * weight

    return rows_function


def all_rows(source: RowFunction, height: int) -> Float[Array, "c h w"]:
    """All rows at once."""
    return source(jnp.arange(height, dtype=jnp.int32))


def map_bands(
    function: Callable[[Int[Array, " n"], Bool[Array, " n"]], Any],
    *,
    output_size: Size,
    channels: int,
    rows_per_band: int | None = None,
) -> Any:
    """Calls a function for one band of output rows after the other and stacks the results.

    Args:
        function: takes row indices, and which of them count: the last band is filled up with
            repetitions of the last row.
        output_size: of the whole output.
        channels: how many maps the function needs at once, which decides the size of a band.
        rows_per_band: that size, in place of the one that keeps a band's maps below 64 MiB.

    Returns:
        Arrays [bands, ...]. Where a result is [..., n, W] `join_bands` makes it [..., H, W].
    """
    height, width = output_size
    if rows_per_band is None:
        rows_per_band = max(_BAND_BYTES // (4 * channels * width), 1)
    rows_per_band = min(rows_per_band, height)

    def one(start: Int[Array, ""]) -> Any:
        rows = start + jnp.arange(rows_per_band, dtype=jnp.int32)
        return function(jnp.minimum(rows, height - 1), rows < height)

    starts = jnp.arange(0, height, rows_per_band, dtype=jnp.int32)
    if len(starts) == 1:
        return jax.tree.map(lambda result: result[None], one(starts[0]))
    return jax.lax.map(one, starts)


def join_bands(bands: Array, height: int) -> Array:
    """[bands, ..., n, W] -> [..., H, W]."""
    joined = jnp.moveaxis(bands, 0, -3)
    joined = joined.reshape(*joined.shape[:-3], -1, joined.shape[-1])
    return joined[..., :height, :]


def _take(maps: Array, indices: Array | np.ndarray, *, axis: int) -> Array:
    return jnp.take(maps, indices, axis=axis, mode="clip")  # no index is out of range


@cache
def _taps(in_size: int, out_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two source pixels of each output pixel, and the weight of the second."""
    source = np.maximum((np.arange(out_size) + 0.5) * (in_size / out_size) - 0.5, 0)
    low = np.minimum(source.astype(np.int32), in_size - 1)
    return low, np.minimum(low + 1, in_size - 1), source - low
