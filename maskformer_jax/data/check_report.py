"""The report of a data set check: statistics of each split, problems and warnings."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from tabulate import tabulate

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.alike import tell_alike, tell_once
from maskformer_jax.types import Size

_MAX_LISTED = 50  # problems, and warnings, in the text
_CASES_OF_A_KIND, _MOST_CASES = 4, 24


class Case(NamedTuple):
    """An image that deserves a look."""

    split: str
    position: int  # in the split
    image_id: str
    reason: str


@dataclass(slots=True)
class SplitStatistics:
    """Statistics of one split, over the examples that could be read."""

    split: str
    pixels: Int64[np.ndarray, " k_plus_1"]  # of each label, void last
    images: Int64[np.ndarray, " k_plus_1"]  # with each label, void last
    sizes: list[Size] = field(default_factory=list)  # of each image
    most_segments: int = 0  # in one image: classes, or segments or instances that are not crowd


@dataclass(slots=True)
class DatasetReport:
    """The result of `check_dataset`.

    Problems stop or spoil a training run; warnings deserve a look.
    """

    info: DatasetInfo
    splits: list[SplitStatistics] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)

    def add_case(self, case: Case) -> None:
        """Remember an image to show, of those with one kind of finding the first few."""
        alike = [one for one in self.cases if tell_alike(one.reason, case.reason)]
        if len(alike) < _CASES_OF_A_KIND and len(self.cases) < _MOST_CASES:
            self.cases.append(case)

    def text(self) -> str:
        """Format the report as text."""
        parts = [f"data set {self.info.name}, {self.info.num_classes} classes"]
        if self.splits:
            parts += [self._size_table(), self._class_table()]
        parts += [*_list_findings("warning", self.warnings)]
        parts += [*_list_findings("problem", self.problems)]
        parts.append(f"{len(self.problems)} problems, {len(self.warnings)} warnings")
        return "\n\n".join(parts)

    def _size_table(self) -> str:
        rows: list[list[Any]] = []
        for split in self.splits:
            row: list[Any] = [split.split, len(split.sizes)]
            if split.sizes:
                heights, widths = np.array(split.sizes).T
                row += [_format_range(heights), _format_range(widths), split.most_segments]
            rows.append(row)
        headers = ("split", "images", "height", "width", "most segments in an image")
        return tabulate(rows, headers=headers, disable_numparse=True)

    def _class_table(self) -> str:
        names = [category.name for category in self.info.categories]
        rows = []
        for label, name in enumerate([*names, "void"]):
            row: list[Any] = [label if label < len(names) else "-", name]
            for split in self.splits:
                share = 100 * split.pixels[label] / max(split.pixels.sum(), 1)
                row += [int(split.images[label]), f"{share:.2f}"]
            rows.append(row)
        headers = ["label", "class"]
        for split in self.splits:
            headers += [f"{split.split} images", f"{split.split} % of pixels"]
        align = ["right", "left", *["right"] * (2 * len(self.splits))]
        return tabulate(rows, headers=headers, colalign=align, disable_numparse=True)


def _list_findings(kind: str, messages: list[str]) -> Iterator[str]:
    if messages:
        told = tell_once(messages)
        more = len(told) - _MAX_LISTED
        rest = [f"... and {more} more"] if more > 0 else []
        yield "\n".join([*(f"{kind}: {message}" for message in told[:_MAX_LISTED]), *rest])


def _format_range(values: np.ndarray) -> str:
    low, median, high = int(values.min()), int(np.median(values)), int(values.max())
    return str(low) if low == high else f"{low} / {median} / {high} (min / median / max)"
