"""Index tables of shifted windows: relative positions, and regions that may attend to each other.

Everything follows from static sizes, so it is computed once in NumPy while tracing (arXiv
2103.14030, section 3.2).
"""

from functools import cache

import numpy as np
from jaxtyping import Int


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

    def ranges(length: int) -> np.ndarray:
        index = np.arange(length)
        return (index >= length - window).astype(np.int32) + (index >= length - shift)

    regions = 3 * ranges(height)[:, None] + ranges(width)[None]
    cells = regions.reshape(height // window, window, width // window, window)
    return cells.transpose(0, 2, 1, 3).reshape(-1, window * window)
