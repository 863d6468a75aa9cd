"""From a map to its shifted windows and back (arXiv 2103.14030, section 3.2).

A TPU lays out a map in tiles of 8 tokens of a row, which windows of 7 or 12 tokens cut across, so
padding, rolling and cutting are copies there that cost as much as the attention. It multiplies by
matrices of zeros and ones instead (exact), of rows and of columns, which do all three at once.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike
from jaxtyping import Float

from maskformer_jax.parts.extent import Extent, padded_extent
from maskformer_jax.resize import pad_bottom_right, padded_size
from maskformer_jax.types import Size

EXACT = lax.Precision.HIGHEST


def to_windows(
    x: Float[Array, "b h w d"], window: int, *, shift: int = 0, extent: Extent = None
) -> Float[Array, "b n s d"]:
    """Pad a map with zeros to whole windows, move it up and left by `shift`, and cut it.

    Args:
        x: maps, zero outside of their extents.
        window: side of a window in tokens.
        shift: tokens by which the windows lie further down and right; what leaves a map at one
            side enters it at the other.
        extent: of each map, which then moves at its own edge.

    Returns:
        The windows, row by row, and the tokens of each, row by row.
    """
    return lax.platform_dependent(
        x,
        extent,
        tpu=lambda x, extent: multiply_to_windows(x, window, shift=shift, extent=extent),
        default=lambda x, extent: copy_to_windows(x, window, shift=shift, extent=extent),
    )


def from_windows(
    x: Float[Array, "b n s d"], size: Size, *, shift: int = 0, extent: Extent = None
) -> Float[Array, "b h w d"]:
    """Undo `to_windows`.

    Args:
        x: windows.
        size: of the map that they were cut from.
        shift: as it was then.
        extent: as it was then.
    """
    return lax.platform_dependent(
        x,
        extent,
        tpu=lambda x, extent: multiply_from_windows(x, size, shift=shift, extent=extent),
        default=lambda x, extent: copy_from_windows(x, size, shift=shift, extent=extent),
    )


def copy_to_windows(
    x: Float[Array, "b h w d"], window: int, *, shift: int, extent: Extent
) -> Float[Array, "b n s d"]:
    """`to_windows` by copies."""
    x = pad_bottom_right(x, padded_size((x.shape[1], x.shape[2]), window), axes=(1, 2))
    if shift:
        x = roll(x, -shift, padded_extent(extent, window))
    return split_windows(x, window)


def copy_from_windows(
    x: Float[Array, "b n s d"], size: Size, *, shift: int, extent: Extent
) -> Float[Array, "b h w d"]:
    """`from_windows` by copies."""
    window = _side(x)
    x = join_windows(x, padded_size(size, window))
    if shift:
        x = roll(x, shift, padded_extent(extent, window))
    return x[:, : size[0], : size[1]]


def multiply_to_windows(
    x: Float[Array, "b h w d"], window: int, *, shift: int, extent: Extent
) -> Float[Array, "b n s d"]:
    """`to_windows` by products."""
    batch, height, width, channels = x.shape
    rows, columns = _selections((height, width), window, shift, extent, x.dtype)
    own = "b" if extent is not None else ""  # matrices of each map
    x = jnp.einsum(f"{own}jpw,bhwd->bhjpd", columns, x, precision=EXACT)
    x = jnp.einsum(f"{own}iqh,bhjpd->bijqpd", rows, x, precision=EXACT)
    return x.reshape(batch, -1, window * window, channels)


def multiply_from_windows(
    x: Float[Array, "b n s d"], size: Size, *, shift: int, extent: Extent
) -> Float[Array, "b h w d"]:
    """`from_windows` by products."""
    batch, _, _, channels = x.shape
    window = _side(x)
    rows, columns = _selections(size, window, shift, extent, x.dtype)
    own = "b" if extent is not None else ""
    x = x.reshape(batch, rows.shape[-3], columns.shape[-3], window, window, channels)
    x = jnp.einsum(f"{own}iqh,bijqpd->bhjpd", rows, x, precision=EXACT)
    return jnp.einsum(f"{own}jpw,bhjpd->bhwd", columns, x, precision=EXACT)


def _selections(
    size: Size, window: int, shift: int, extent: Extent, dtype: DTypeLike
) -> list[Float[Array, "*b i q k"]]:
    """For rows and for columns: 1 where token q of window i is token k of the map, else 0."""
    edge = padded_extent(extent, window)
    padded = padded_size(size, window)
    matrices = []
    for axis, length in enumerate(size):
        index = jnp.arange(padded[axis], dtype=jnp.int32)
        if edge is None:
            source = rolled_index(index, -shift, padded[axis])
        else:
            source = rolled_index(index[None], -shift, edge[:, axis, None])
        selected = jax.nn.one_hot(source, length, dtype=dtype)  # zeros where it is padding
        matrices.append(selected.reshape(*source.shape[:-1], -1, window, length))
    return matrices


def rolled_index(index: Any, shift: int, edge: Any) -> Any:
    """Where a token comes from when a map moves by `shift`; beyond its edge nothing moves."""
    return jnp.where(index < edge, (index - shift) % jnp.maximum(edge, 1), index)


def roll(x: Float[Array, "b h w d"], shift: int, edge: Extent = None) -> Float[Array, "b h w d"]:
    """Move maps cyclically down and right by `shift`, each at its own edge.

    Args:
        x: maps.
        shift: by which they move; up and left where it is negative.
        edge: (height, width) of the part of each map that is rolled; None: all of it.
    """
    if edge is None:
        return jnp.roll(x, (shift, shift), axis=(1, 2))
    for axis in (1, 2):
        index = jnp.arange(x.shape[axis], dtype=edge.dtype)[None]
        source = rolled_index(index, shift, edge[:, axis - 1 : axis])
        source = source[:, :, None, None] if axis == 1 else source[:, None, :, None]
        x = jnp.take_along_axis(x, source, axis=axis, mode="clip")
    return x


def split_windows(x: Float[Array, "b h w d"], window: int) -> Float[Array, "b n s d"]:
    """Cut a map into windows, row by row; its sides are multiples of `window`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window, window, width // window, window, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, -1, window * window, channels)


def join_windows(x: Float[Array, "b n s d"], size: tuple[int, int]) -> Float[Array, "b h w d"]:
    """Put windows together to a map of `size` again."""
    height, width = size
    batch, _, _, channels = x.shape
    window = _side(x)
    x = x.reshape(batch, height // window, width // window, window, window, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)


def _side(windows: Float[Array, "b n s d"]) -> int:
    return round(windows.shape[2] ** 0.5)
