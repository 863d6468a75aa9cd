"""Windows in groups that fill the lanes of a TPU, and how a map is cut into them.

A TPU works on tiles of 8 x 128 numbers. A window of 7 x 7 tokens would fill 49 of 128 lanes, so two
of a row stand side by side, each with rows of 8 tokens, the last of which is none. Padding, rolling
and cutting a map are copies there that cost as much as the attention, since windows cut across its
tiles; products with matrices of zeros and ones (exact), of rows and of columns, do all at once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from maskformer_jax.parts.backbones.swin.window_moves import rolled_index
from maskformer_jax.parts.extent import Extent, padded_extent
from maskformer_jax.resize import padded_size
from maskformer_jax.types import Size

LANES, SUBLANES = 128, 8
EXACT = lax.Precision.HIGHEST
HIDDEN = -1e9  # added to logits of tokens that are none or of another window; leaves exactly 0


class Grouping(NamedTuple):
    """How windows stand in groups."""

    window: int  # its side in tokens
    row: int  # tokens of a window's row, those that are none included
    together: int  # windows of a group, neighbours in a row of windows

    @property
    def tokens(self) -> int:
        """Tokens of a group."""
        return self.together * self.window * self.row

    def windows_of_row(self, width: int) -> int:
        """Windows in a row of whole groups that covers a map of this width."""
        windows = -(-width // self.window)
        return windows + -windows % self.together


def choose_grouping(window: int, width: int) -> Grouping:
    """Rows of as few tokens as fill sublanes, and as many windows as fill lanes.

    Windows are left alone where blank ones that complete a row's last group were more than an
    eighth of it.
    """
    row = window
    while window * row % SUBLANES:
        row += 1
    windows = -(-width // window)
    together = max(1, LANES // (window * row))
    while (-windows % together) * 8 > windows:
        together -= 1
    return Grouping(window, row, together)


def to_groups(
    x: Float[Array, "b h w d"], grouping: Grouping, *, shift: int = 0, extent: Extent = None
) -> Float[Array, "b n t d"]:
    """Cut a map into groups of its shifted windows.

    Args:
        x: maps, zero outside of their extents.
        grouping: of the windows.
        shift: as in `window_moves.to_windows`.
        extent: of each map, which then moves at its own edge.

    Returns:
        The groups, row by row, and their tokens window by window; zero where there are none.
    """
    batch, height, width, channels = x.shape
    rows, columns = _selections((height, width), grouping, shift, extent, x.dtype)
    own = "b" if extent is not None else ""  # matrices of each map
    x = jnp.einsum(f"{own}jpw,bhwd->bhjpd", columns, x, precision=EXACT)
    x = jnp.einsum(f"{own}iqh,bhjpd->bijqpd", rows, x, precision=EXACT)
    return x.reshape(batch, -1, grouping.tokens, channels)


def from_groups(
    x: Float[Array, "b n t d"],
    size: Size,
    grouping: Grouping,
    *,
    shift: int = 0,
    extent: Extent = None,
) -> Float[Array, "b h w d"]:
    """Undo `to_groups`.

    Args:
        x: groups.
        size: of the map that they were cut from.
        grouping: as it was then.
        shift: as it was then.
        extent: as it was then.
    """
    batch, _, _, channels = x.shape
    rows, columns = _selections(size, grouping, shift, extent, x.dtype)
    own = "b" if extent is not None else ""
    shape = (rows.shape[-3], columns.shape[-3], grouping.window, grouping.row)
    x = x.reshape(batch, *shape, channels)
    x = jnp.einsum(f"{own}iqh,bijqpd->bhjpd", rows, x, precision=EXACT)
    return jnp.einsum(f"{own}jpw,bhjpd->bhwd", columns, x, precision=EXACT)


def _selections(
    size: Size, grouping: Grouping, shift: int, extent: Extent, dtype: DTypeLike
) -> tuple[Float[Array, "*b i q k"], Float[Array, "*b j p l"]]:
    """For rows and for columns: 1 where token q of window i is token k of the map, else 0."""
    window = grouping.window
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
    rows, columns = matrices
    blank = grouping.windows_of_row(size[1]) - columns.shape[-3]
    widths = ((0, 0),) * (columns.ndim - 3)
    columns = jnp.pad(columns, (*widths, (0, blank), (0, grouping.row - window), (0, 0)))
    return rows, columns


def group_regions(
    regions: Int[Array, "b n s"], width: int, grouping: Grouping
) -> Int[Array, "b m t"]:
    """Give the tokens of groups the regions of those of windows.

    Args:
        regions: of the windows' tokens.
        width: of the map that the windows were cut from.
        grouping: of the windows.
    """
    window = grouping.window
    windows = -(-width // window)
    blank = grouping.windows_of_row(width) - windows
    regions = regions.reshape(len(regions), -1, windows, window, window)
    widths = ((0, 0), (0, 0), (0, blank), (0, 0), (0, grouping.row - window))
    return jnp.pad(regions, widths).reshape(len(regions), -1, grouping.tokens)


def group_bias(bias: Float[Array, "m s s"], grouping: Grouping) -> Float[Array, "m t t"]:
    """Give pairs of tokens of a group the bias of pairs of a window, and hide all others.

    Args:
        bias: of queries and keys of one window, for each head.
        grouping: of the windows.
    """
    window, row, together = grouping
    heads = len(bias)
    blank = (0, row - window)
    bias = bias.reshape(heads, *4 * (window,))
    bias = jnp.pad(bias, ((0, 0), (0, 0), blank, (0, 0), blank))
    exists = (jnp.arange(row) < window).reshape(1, 1, 1, 1, row)
    bias = jnp.where(exists, bias, HIDDEN)  # hides keys that are none
    bias = bias.reshape(heads, 1, window * row, 1, window * row)
    same = jnp.eye(together, dtype=bool)[None, :, None, :, None]
    return jnp.where(same, bias, HIDDEN).reshape(heads, grouping.tokens, grouping.tokens)
