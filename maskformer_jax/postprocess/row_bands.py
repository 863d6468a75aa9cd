"""Computing maps in bands of rows, so that Q or K maps of full size never exist.

A `RowFunction` returns any contiguous rows of a stack of maps. Resizing one gives another, which
requests only the few source rows that it needs. A chain of them is a complete post-processing, and
`map_bands` runs it over the bands of the output. Computing all rows at once and band by band is the
same arithmetic, so the results are equal.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.resize import bilinear_taps
from maskformer_jax.types import Size

# Row indices [n], consecutive except that the last row may be repeated -> maps [c, n, w].
RowFunction = Callable[[Array], Array]

_BAND_BYTES = 64 * 2**20  # of one band's float32 maps at output width


def rows_of(maps: Float[Array, "c h w"]) -> RowFunction:
    """The rows of maps that are already in memory."""
    return lambda rows: _take(maps, rows, axis=1)


def cut_columns(source: RowFunction, width: int) -> RowFunction:
    """The first `width` columns of each row."""
    return lambda rows: source(rows)[..., :width]


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
        above, below = _take(maps, first - start, axis=1), _take(maps, second - start, axis=1)
        return above * (1 - weight) + below * weight

    def _mix_columns(maps: Array) -> Array:
        low, high, fraction = bilinear_taps(maps.shape[-1], width)
        weight = jnp.asarray(fraction, maps.dtype)[None, None]
        left, right = _take(maps, low, axis=-1), _take(maps, high, axis=-1)
        return left * (1 - weight) + right * weight

    return rows_function


def all_rows(source: RowFunction, height: int) -> Float[Array, "c h w"]:
    """All `height` rows at once."""
    return source(jnp.arange(height, dtype=jnp.int32))


def map_bands(
    function: Callable[[Int[Array, " n"], Bool[Array, " n"]], Any],
    *,
    output_size: Size,
    channels: int,
    rows_per_band: int | None = None,
) -> Any:
    """Call a function for one band of output rows after another and stack the results.

    Args:
        function: takes row indices [n] and a mask [n] that is False for padding: the last band is
            filled up by repeating the last row.
        output_size: of the whole output.
        channels: how many maps the function holds at once, which determines the size of a band.
        rows_per_band: that size; by default as many rows as keep a band's maps within 64 MiB.

    Returns:
        Arrays [bands, ...]. `join_bands` turns a result [bands, ..., n, W] into [..., H, W].
    """
    height, width = output_size
    if rows_per_band is None:
        rows_per_band = max(_BAND_BYTES // (4 * channels * width), 1)
    rows_per_band = min(rows_per_band, height)

    def one_band(start: Int[Array, ""]) -> Any:
        rows = start + jnp.arange(rows_per_band, dtype=jnp.int32)
        return function(jnp.minimum(rows, height - 1), rows < height)

    starts = jnp.arange(0, height, rows_per_band, dtype=jnp.int32)
    if len(starts) == 1:
        return jax.tree.map(lambda result: result[None], one_band(starts[0]))
    return jax.lax.map(one_band, starts)


def argmax_labels(
    scores: RowFunction, output_size: Size, *, channels: int, rows_per_band: int | None
) -> Int[Array, "H W"]:
    """The class with the highest score at every pixel, computed in bands; the first of equal ones.

    Args:
        scores: rows of the score maps of K classes.
        output_size: of these maps.
        channels: as for `map_bands`.
        rows_per_band: likewise.

    Returns:
        Labels 0..K-1, int32.
    """
    bands = map_bands(
        lambda rows, _: jnp.argmax(scores(rows), axis=0).astype(jnp.int32),
        output_size=output_size,
        channels=channels,
        rows_per_band=rows_per_band,
    )
    return join_bands(bands, output_size[0])


def join_bands(bands: Array, height: int) -> Array:
    """Join [bands, ..., n, W] into [..., H, W], dropping the padding of the last band."""
    joined = jnp.moveaxis(bands, 0, -3)
    joined = joined.reshape(*joined.shape[:-3], -1, joined.shape[-1])
    return joined[..., :height, :]


def _take(maps: Array, indices: Array | np.ndarray, *, axis: int) -> Array:
    return jnp.take(maps, indices, axis=axis, mode="clip")  # no index is out of range
