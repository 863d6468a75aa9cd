"""Metrics as text tables, formatted as papers print them."""

import math
from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate


def format_percent(value: float) -> str:
    """Two decimals, or a dash for nan."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def format_table(rows: Iterable[Sequence[object]], headers: Sequence[str], *, text: int) -> str:
    """A table whose first `text` columns are left-aligned and the others right-aligned.

    Args:
        rows: cells, already formatted.
        headers: one per column.
        text: number of columns that hold words.
    """
    alignment = ("left",) * text + ("right",) * (len(headers) - text)
    return tabulate(rows, headers=headers, colalign=alignment, disable_numparse=True)


def format_summary(metrics: Mapping[str, float]) -> str:
    """A table with one row: metric names above, values in percent below."""
    values = [format_percent(value) for value in metrics.values()]
    return format_table([values], tuple(metrics), text=0)
