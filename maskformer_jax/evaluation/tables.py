"""Numbers as papers print them."""

import math
from collections.abc import Mapping

from tabulate import tabulate


def format_percent(value: float) -> str:
    """Two digits after the point, and a dash for what does not exist."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def format_summary(metrics: Mapping[str, float]) -> str:
    """A table of one row: names above, values below."""
    return tabulate(
        [[format_percent(value) for value in metrics.values()]],
        headers=tuple(metrics),
        colalign=("right",) * len(metrics),
        disable_numparse=True,
    )
