"""Index tables of shifted windows: relative positions, and regions that may attend to each other.

What follows from static sizes is computed once in NumPy while tracing (arXiv 2103.14030, section
3.2).
"""

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Int

MASKED = -100.0  # added to logits between tokens of different regions; finite, as published


@cache
def relative_position_index(window: int) -> Int[np.ndarray, "s s"]:
    """Row of the bias table for each (query, key) pair of a window of `window` squared tokens.

    Tokens are row-major; the table has a row for each of the (2 * window - 1)^2 offsets.
    """
    row, column = np.divmod(np.arange(window * window), window)
    rows = row[:, None] - row[None] + window - 1
    columns = column[:, None] - column[None] + window - 1
    return rows * (2 * window - 1) + columns


@cache
def shift_regions(height: int, width: int, *, window: int, shift: int) -> Int[np.ndarray, "n s"]:
    """Region of every token of every window of a map that was rolled by `-shift`.

    Rolling makes neighbours of tokens that are far apart in the map; tokens of a window attend to
    each other where their regions are equal. As published, the last `window` rows are split in two
    even where the map is a single window.

    Args:
        height: of the padded map, a multiple of `window`.
        width: of the padded map, a multiple of `window`.
        window: side of a window.
        shift: above 0 and below `window`.
    """

    edge = np.array([[height, width]])
    return shift_regions_within(edge, (height, width), window=window, shift=shift)[0]


def shift_regions_within(edge: Any, size: tuple[int, int], *, window: int, shift: int) -> Any:
    """`shift_regions` of maps that are rolled at edges of their own, [B, n, s].

    Args:
        edge: (height, width) of each padded map, multiples of `window`; [B, 2], NumPy or JAX.
        size: of all maps, in whose upper left corners these stand; multiples of `window`.
        window: side of a window.
        shift: above 0 and below `window`.
    """
    height, width = size
    arange = edge.__array_namespace__().arange

    def ranges(axis: int) -> Any:
        index, end = arange(size[axis])[None], edge[:, axis : axis + 1]
        return (index >= end - window).astype("int32") + (index >= end - shift)

    regions = 3 * ranges(0)[:, :, None] + ranges(1)[:, None]
    cells = regions.reshape(-1, height // window, window, width // window, window)
    return cells.transpose(0, 1, 3, 2, 4).reshape(len(cells), -1, window * window)
