"""Finds everything that is wrong with a data set before it costs a training run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from tabulate import tabulate

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config, DataConfig
from maskformer_jax.config_check import check_built
from maskformer_jax.data.example import Source
from maskformer_jax.data.folder import FolderSource, list_split
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError
from maskformer_jax.progress import Progress

_MAX_SHOWN = 50  # problems and warnings, each, that the text lists


@dataclass(slots=True)
class SplitStatistics:
    """What one split holds; counted over the examples that could be read."""

    split: str
    pixels: Int64[np.ndarray, " k_plus_1"]  # by label, void last
    images: Int64[np.ndarray, " k_plus_1"]  # that show the label, void last
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (height, width) of each image
    most_segments: int = 0  # classes in one image


@dataclass(slots=True)
class DatasetReport:
    """What `check_dataset` found.

    Problems stop a run or spoil it; warnings are worth a look.
    """

    info: DatasetInfo
    splits: list[SplitStatistics] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Tables and findings for people."""
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
                row += [_range_text(heights), _range_text(widths), split.most_segments]
            rows.append(row)
        headers = ("split", "images", "height", "width", "most classes in an image")
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


def check_dataset(config: Config) -> DatasetReport:
    """Reads every image and label map of the training and the evaluation split.

    Finds what is missing, unreadable, of different sizes or outside the class range, images
    with more classes than `data.num_segments`, images that are all void, classes that never
    occur, and label maps without an image; all of it, not only the first.

    Raises:
        UserError: there is no such data set, or `data.root` is not set.
    """
    check_built(config, "data")
    data = config.data
    report = DatasetReport(load_dataset_info(data.dataset))
    for split in dict.fromkeys((data.train_split, data.eval_split)):
        try:
            source = _open_leniently(data, split, report)
        except UserError as error:
            report.problems.append(str(error))
            continue
        report.splits.append(_walk(source, split, data, report))
    return report


def _open_leniently(data: DataConfig, split: str, report: DatasetReport) -> Source:
    """Opens a split; unpaired files are reported and left out."""
    if data.format != "folder" or not data.root:
        return open_source(data, split, report.info)
    root = Path(data.root).expanduser()
    listing = list_split(root, split)
    label_dir = root / "annotations" / split
    for name in listing.unlabelled:
        report.problems.append(f"{root / 'images' / split / name}: no label map in {label_dir}")
    for name in listing.unused:
        report.warnings.append(f"{label_dir / name}: no image of this name")
    return FolderSource(root, split, report.info, listing=listing)


class _Finding(NamedTuple):
    """About one example: an error, or its label counts and size."""

    image_id: str
    error: str | None = None
    pixels: Any = None  # int64 [K + 1], void last
    size: tuple[int, int] = (0, 0)


def _walk(source: Source, split: str, data: DataConfig, report: DatasetReport) -> SplitStatistics:
    slots = report.info.num_classes + 1
    crowded = 0
    found = SplitStatistics(split, np.zeros(slots, np.int64), np.zeros(slots, np.int64))
    with Progress(len(source), description=f"check {split}", unit="image") as progress:
        for finding in _examine_all(source, report.info, threads=max(data.num_threads, 1)):
            progress.update()
            if finding.error is not None:
                report.problems.append(finding.error)
                continue
            found.pixels += finding.pixels
            found.images += finding.pixels > 0
            found.sizes.append(finding.size)
            segments = int(np.count_nonzero(finding.pixels[:-1]))
            found.most_segments = max(found.most_segments, segments)
            where = f"{split} image '{finding.image_id}'"
            if not segments:
                report.warnings.append(f"{where}: all pixels are void")
            crowded += segments > data.num_segments
    if crowded and split == data.train_split:
        report.problems.append(
            f"{split}: {crowded} images show more than data.num_segments = {data.num_segments} "
            f"classes; set it to {found.most_segments}"
        )
    absent = [
        category.name
        for category, images in zip(report.info.categories, found.images, strict=False)
        if not images
    ]
    if found.sizes and absent:
        report.warnings.append(f"{split}: these classes never occur: {', '.join(absent)}")
    return found


def _examine_all(source: Source, info: DatasetInfo, *, threads: int) -> Iterator[_Finding]:
    def examine(index: int) -> _Finding:
        try:
            image_id, image, label_map, *_ = source[index]
        except UserError as error:
            return _Finding("", error=str(error))
        # Void (-1) comes first in the counts and goes last.
        pixels = np.roll(np.bincount(label_map.ravel() + 1, minlength=info.num_classes + 1), -1)
        return _Finding(image_id, pixels=pixels, size=image.shape[:2])

    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(examine, range(len(source)))


def _list_findings(what: str, messages: list[str]) -> Iterator[str]:
    if messages:
        more = len(messages) - _MAX_SHOWN
        rest = [f"... and {more} more"] if more > 0 else []
        yield "\n".join([*(f"{what}: {message}" for message in messages[:_MAX_SHOWN]), *rest])


def _range_text(values: np.ndarray) -> str:
    low, middle, high = int(values.min()), int(np.median(values)), int(values.max())
    return str(low) if low == high else f"{low} / {middle} / {high} (min / median / max)"
