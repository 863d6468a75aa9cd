"""From a map to its shifted windows and back (arXiv 2103.14030, section 3.2)."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from maskformer_jax.parts.backbones.swin.windows import shift_regions, shift_regions_within
from maskformer_jax.parts.extent import Extent, padded_extent
from maskformer_jax.resize import pad_bottom_right, padded_size
from maskformer_jax.types import Size


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
    x = pad_bottom_right(x, padded_size((x.shape[1], x.shape[2]), window), axes=(1, 2))
    if shift:
        x = roll(x, -shift, padded_extent(extent, window))
    return split_windows(x, window)


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
    window = _side(x)
    x = join_windows(x, padded_size(size, window))
    if shift:
        x = roll(x, shift, padded_extent(extent, window))
    return x[:, : size[0], : size[1]]


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


def window_regions(size: Size, extent: Extent, *, window: int, shift: int) -> Int[Array, "_ n s"]:
    """Regions of the windows' tokens; of each map where each has an extent, else of all, [1, n, s].

    Args:
        size: of the maps.
        extent: of each map.
        window: side of a window.
        shift: above 0 and below `window`.
    """
    padded = padded_size(size, window)
    edge = padded_extent(extent, window)
    if edge is not None:
        return shift_regions_within(edge, padded, window=window, shift=shift)
    regions = shift_regions(*padded, window=window, shift=shift)
    # The barrier keeps the compiler from writing the mask of all pairs into the program.
    return lax.optimization_barrier(jnp.asarray(regions))[None]


def _side(windows: Float[Array, "b n s d"]) -> int:
    return round(windows.shape[2] ** 0.5)
