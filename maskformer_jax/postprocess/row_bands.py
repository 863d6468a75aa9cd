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
    function: Callable[[Int[Array, " n"], Bool[Array, "n _"]], Any],
    *,
    sizes: ImageSizes,
    channels: int,
    rows_per_band: int | None = None,
) -> Any:
    """Call a function for one band of output rows after another and stack the results.

    Args:
        function: takes row indices [n] and a mask, [n, 1] or [n, W], that is False outside of the
            output: the last band is filled up by repeating the last row.
        sizes: of the image, of which those of the output are used.
        channels: how many maps the function holds at once, which determines the size of a band.
        rows_per_band: that size; by default as many rows as keep a band's maps within the bytes
            that `sizes` say, or 4 MiB, but at least 8 rows within 64 MiB; and all bands alike,
            of a multiple of rows that suits the device.

    Returns:
        Arrays [bands, ...]. `join_bands` turns a result [bands, ..., n, W] into [..., H, W]. Where
        sizes are data, bands below the image are zero.
    """
    (height, width), (most_rows, most_columns) = sizes.output_size, sizes.output_bound
    if rows_per_band is None:
        row_bytes = 4 * channels * most_columns
        few_rows = min(_FEW_ROWS, _FEW_ROWS_BYTES // row_bytes)
        rows_per_band = max(sizes.work.band_bytes // row_bytes, few_rows, 1)
        rows_per_band = -(-most_rows // -(-most_rows // rows_per_band))
        multiple = sizes.work.row_multiple
        rows_per_band = multiple * -(-rows_per_band // multiple)
    else:
        rows_per_band = min(rows_per_band, most_rows)

    def one_band(start: Int[Array, ""]) -> Any:
        rows = start + jnp.arange(rows_per_band, dtype=jnp.int32)
        is_output = (rows < height)[:, None]
        if sizes.bounds is not None:
            is_output = is_output & (jnp.arange(most_columns) < width)[None]
        return function(jnp.minimum(rows, height - 1), is_output)

    starts = jnp.arange(0, most_rows, rows_per_band, dtype=jnp.int32)
    if len(starts) == 1:
        return jax.tree.map(lambda result: result[None], one_band(starts[0]))
    if sizes.bounds is None:
        return jax.lax.map(one_band, starts)
    # No time is spent below the image.
    empty = jax.tree.map(
        lambda result: jnp.zeros((len(starts), *result.shape), result.dtype),
        jax.eval_shape(one_band, starts[0]),
    )
    return jax.lax.fori_loop(
        0,
        -(-height // rows_per_band),
        lambda i, bands: jax.tree.map(
            lambda band, result: band.at[i].set(result), bands, one_band(starts[i])
        ),
        empty,
    )


def best_class(scores: Float[Array, "k n w"]) -> Int[Array, "n w"]:
    """The class 0..K-1 with the highest score at every pixel; the first of equal ones."""
    return jnp.argmax(scores, axis=0).astype(jnp.int32)


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
    bands = map_bands(
        lambda index, _: rows(index), sizes=sizes, channels=channels, rows_per_band=rows_per_band
    )
    return join_bands(bands, sizes.output_bound[0])


def join_bands(bands: Array, height: int) -> Array:
    """Join [bands, ..., n, W] into [..., H, W], dropping the padding of the last band."""
    joined = jnp.moveaxis(bands, 0, -3)
    joined = joined.reshape(*joined.shape[:-3], -1, joined.shape[-1])
    return joined[..., :height, :]


def take(maps: Array, indices: Any, *, axis: int) -> Array:
    """Rows or columns of maps, none of which is out of range."""
    return jnp.take(maps, indices, axis=axis, mode="clip")
