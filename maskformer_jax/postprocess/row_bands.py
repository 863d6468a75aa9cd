"""Computing maps in bands of rows, so that Q or K maps of full size never exist.

A `RowFunction` returns any contiguous rows of a stack of maps. Resizing one (`resized_rows`) gives
another, which requests only the few source rows that it needs. A chain of them is a complete
post-processing, and `map_bands` runs it over the bands of the output. Computing all rows at once
and band by band is the same arithmetic, so the results are equal.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.largest import index_of_largest
from maskformer_jax.unwritten import unwritten

# Row indices [n], consecutive except that the last row may be repeated -> maps [c, n, w].
RowFunction = Callable[[Array], Array]

# What is made of the columns of maps [c, n, w] independently of each other: [..., n, w].
ReadColumns = Callable[[Array], Array]

# A band of few rows spends its time on source rows that its neighbours need, too.
_FEW_ROWS = 8
_FEW_ROWS_BYTES = 64 * 2**20


def rows_of(maps: Float[Array, "c h w"]) -> RowFunction:
    """The rows of maps that are already in memory."""
    return lambda rows: take(maps, rows, axis=1)


def cut_columns(source: RowFunction, width: int) -> RowFunction:
    """The first `width` columns of each row."""
    return lambda rows: source(rows)[..., :width]


def all_rows(source: RowFunction, height: int) -> Float[Array, "c h w"]:
    """All `height` rows at once."""
    return source(jnp.arange(height, dtype=jnp.int32))


def map_bands(
    function: Callable[[Int[Array, " n"], Bool[Array, "n _"]], tuple[Any, Any]],
    *,
    sizes: ImageSizes,
    channels: int,
    rows_per_band: int | None = None,
) -> tuple[Any, Any]:
    """Call a function for one band of output rows after another.

    Args:
        function: takes row indices [n] and a mask, [n, 1] or [n, W], that is False outside of the
            output: the last band is filled up by repeating the last row. It returns two trees of
            arrays: rows of maps [..., n, W], and what is added up over bands, such as areas.
        sizes: of the image, of which those of the output are used.
        channels: how many maps the function holds at once, which determines the size of a band.
        rows_per_band: that size; by default as many rows as keep a band's maps within the bytes
            that `sizes` say, or 4 MiB, but at least 8 rows within 64 MiB; and all bands alike,
            of a multiple of rows that suits the device.

    Returns:
        The two trees: whole maps [..., H, W], which hold anything below the last band of an image
        whose size is data, and sums.
    """
    (height, width), (most_rows, most_columns) = sizes.output_size, sizes.output_bound
    rows_per_band = _rows_of_band(sizes, channels=channels, rows_per_band=rows_per_band)
    number = -(-most_rows // rows_per_band)

    def one_band(i: Int[Array, ""]) -> tuple[Any, Any]:
        rows = i * rows_per_band + jnp.arange(rows_per_band, dtype=jnp.int32)
        is_output = (rows < height)[:, None]
        if sizes.bounds is not None:
            is_output = is_output & (jnp.arange(most_columns) < width)[None]
        return function(jnp.minimum(rows, height - 1), is_output)

    def add_band(i: Int[Array, ""], total: tuple[Any, Any]) -> tuple[Any, Any]:
        def write(whole: Array, rows: Array) -> Array:
            # In place, where joining bands afterwards would copy them all.
            begin = i * rows_per_band
            return jax.lax.dynamic_update_slice_in_dim(whole, rows, begin, axis=rows.ndim - 2)

        (maps, sums), (rows, terms) = total, one_band(i)
        return jax.tree.map(write, maps, rows), jax.tree.map(jnp.add, sums, terms)

    if number == 1:
        maps, sums = one_band(jnp.int32(0))
    else:
        rows, terms = jax.eval_shape(one_band, jax.ShapeDtypeStruct((), jnp.int32))
        blank = jax.tree.map(lambda x: _whole(x, number * rows_per_band), rows)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), terms)
        # No time is spent below the image.
        count = number if sizes.bounds is None else -(-height // rows_per_band)
        maps, sums = jax.lax.fori_loop(0, count, add_band, (blank, zeros))
    return jax.tree.map(lambda whole: whole[..., :most_rows, :], maps), sums


def count_bands(sizes: ImageSizes, *, channels: int) -> int:
    """The bands of a result as large as its bounds, by `map_bands`'s default."""
    return -(-sizes.output_bound[0] // _rows_of_band(sizes, channels=channels, rows_per_band=None))


def _rows_of_band(sizes: ImageSizes, *, channels: int, rows_per_band: int | None) -> int:
    most_rows, most_columns = sizes.output_bound
    if rows_per_band is not None:
        return min(rows_per_band, most_rows)
    row_bytes = 4 * channels * most_columns
    few_rows = min(_FEW_ROWS, _FEW_ROWS_BYTES // row_bytes)
    rows = max(sizes.work.band_bytes // row_bytes, few_rows, 1)
    rows = -(-most_rows // -(-most_rows // rows))
    multiple = sizes.work.row_multiple
    return multiple * -(-rows // multiple)


def _whole(rows: jax.ShapeDtypeStruct, height: int) -> Array:
    *front, _, width = rows.shape
    return unwritten((*front, height, width), rows.dtype)


def best_class(scores: Float[Array, "k n w"]) -> Int[Array, "n w"]:
    """The class 0..K-1 with the highest score at every pixel; the first of equal ones."""
    return index_of_largest(scores)


def join_rows(
    rows: RowFunction, sizes: ImageSizes, *, channels: int, rows_per_band: int | None
) -> Shaped[Array, "H W"]:
    """All rows of a map, such as one of labels, computed in bands.

    Args:
        rows: of that one map, [n, w].
        sizes: of the image, of which those of the output are used.
        channels: as for `map_bands`.
        rows_per_band: likewise.
    """
    joined, _ = map_bands(
        lambda index, _: (rows(index), ()),
        sizes=sizes,
        channels=channels,
        rows_per_band=rows_per_band,
    )
    return joined


def take(maps: Array, indices: Any, *, axis: int) -> Array:
    """Rows or columns of maps, none of which is out of range."""
    return jnp.take(maps, indices, axis=axis, mode="clip")
