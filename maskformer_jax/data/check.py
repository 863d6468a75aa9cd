"""Finds everything that is wrong with a data set before it costs a training run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from pycocotools import mask as coco_mask
from tabulate import tabulate

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config, DataConfig
from maskformer_jax.data.example import Example, Source
from maskformer_jax.data.folder import LAYOUTS, FolderSource, list_split
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.samples import need, need_instances, need_panoptic
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError
from maskformer_jax.progress import Progress

_SEGMENTS = {"semantic": "classes", "instance": "instances"} | dict.fromkeys(
    ("panoptic", "coco_panoptic"), "segments"
)
_MAX_SHOWN = 50  # problems and warnings, each, that the text lists


@dataclass(slots=True)
class SplitStatistics:
    """What one split holds; counted over the examples that could be read."""

    split: str
    pixels: Int64[np.ndarray, " k_plus_1"]  # by label, void last
    images: Int64[np.ndarray, " k_plus_1"]  # that show the label, void last
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (height, width) of each image
    most_segments: int = 0  # in one image: classes, or segments or instances that are no crowd


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


def check_dataset(config: Config) -> DatasetReport:
    """Reads every image and label map of the training and the evaluation split.

    Finds what is missing, unreadable, of different sizes or outside the class range, annotations
    that contradict themselves or are not of the kind that `data.mapper` needs, images with more
    segments than `data.num_segments` or than the model has queries, images that are all void,
    classes that never occur, and label maps without an image; all of it, not only the first.

    Raises:
        UserError: there is no such data set, or `data.root` is not set.
    """
    data = config.data
    report = DatasetReport(load_dataset_info(data.dataset))
    for split in dict.fromkeys((data.train_split, data.eval_split)):
        try:
            source = _open_leniently(data, split, report)
        except UserError as error:
            report.problems.append(str(error))
            continue
        report.splits.append(_walk(source, split, config, report))
    return report


def _open_leniently(data: DataConfig, split: str, report: DatasetReport) -> Source:
    """Opens a split; unpaired files are reported and left out."""
    if data.format not in LAYOUTS or not data.root:
        return open_source(data, split, report.info)
    listing = list_split(Path(data.root).expanduser(), split, LAYOUTS[data.format])
    for name in listing.unlabelled:
        report.problems.append(f"{listing.image_dir / name}: no label map in {listing.label_dir}")
    for name in listing.unused:
        report.warnings.append(f"{listing.label_dir / name}: no image of this name")
    return FolderSource(listing, report.info, lenient=True)


class _Finding(NamedTuple):
    """About one example: an error, or its label counts and size."""

    image_id: str
    error: str | None = None
    pixels: Any = None  # int64 [K + 1], void last
    size: tuple[int, int] = (0, 0)
    segments: int = 0


def _walk(source: Source, split: str, config: Config, report: DatasetReport) -> SplitStatistics:
    data, decoder = config.data, config.model.transformer_decoder
    queries = decoder.num_queries if config.model.head == "mask_classification" else None
    slots = report.info.num_classes + 1
    crowded = surplus = 0
    found = SplitStatistics(split, np.zeros(slots, np.int64), np.zeros(slots, np.int64))
    with Progress(len(source), description=f"check {split}", unit="image") as progress:
        for finding in _examine_all(source, data, report.info):
            progress.update()
            if finding.error is not None:
                report.problems.append(finding.error)
                continue
            found.pixels += finding.pixels
            found.images += finding.pixels > 0
            found.sizes.append(finding.size)
            found.most_segments = max(found.most_segments, finding.segments)
            if not finding.segments and data.mapper != "instance":
                report.warnings.append(f"{split} image '{finding.image_id}': all pixels are void")
            crowded += finding.segments > data.num_segments
            surplus += queries is not None and finding.segments > queries
    if crowded and split == data.train_split:
        report.problems.append(
            f"{split}: {crowded} images show more than data.num_segments = {data.num_segments} "
            f"{_SEGMENTS[data.mapper]}; set it to {found.most_segments}"
        )
    if surplus and split == data.train_split:
        report.warnings.append(
            f"{split}: {surplus} images show more {_SEGMENTS[data.mapper]} than the model has "
            f"queries ({queries}); those that are left over are not learned from"
        )
    absent = [
        category.name
        for category, images in zip(report.info.categories, found.images, strict=False)
        if not images
    ]
    if found.sizes and absent:
        report.warnings.append(f"{split}: these classes never occur: {', '.join(absent)}")
    return found


def _examine_all(source: Source, data: DataConfig, info: DatasetInfo) -> Iterator[_Finding]:
    def examine(index: int) -> _Finding:
        try:
            example = source[index]
            size = example.image.shape[:2]
            segments, pixels = _count(example, data, info)
        except UserError as error:
            return _Finding("", error=str(error))
        return _Finding(example.image_id, pixels=pixels, size=size, segments=segments)

    with ThreadPoolExecutor(max(data.num_threads, 1)) as pool:
        yield from pool.map(examine, range(len(source)))


def _count(
    example: Example, data: DataConfig, info: DatasetInfo
) -> tuple[int, Int64[np.ndarray, " k_plus_1"]]:
    """How many segments there are to learn from, and the pixels of each label, void last."""
    if data.mapper == "instance":
        pixels = np.zeros(info.num_classes + 1, np.int64)
        counted = [x for x in need_instances(example, data, info) if not x.is_crowd]
        for instance in counted:
            pixels[instance.label] += int(coco_mask.area(instance.rle))
        pixels[-1] = max(example.image[..., 0].size - pixels.sum(), 0)
        return len(counted), pixels
    label_map = need(example.label_map, "label map", example, data)
    # Void (-1) comes first in the counts and goes last.
    pixels = np.roll(np.bincount(label_map.ravel() + 1, minlength=info.num_classes + 1), -1)
    if data.mapper == "semantic":
        return int(np.count_nonzero(pixels[:-1])), pixels
    panoptic = need_panoptic(example, data)
    return sum(not segment.is_crowd for segment in panoptic.segments), pixels


def _list_findings(what: str, messages: list[str]) -> Iterator[str]:
    if messages:
        more = len(messages) - _MAX_SHOWN
        rest = [f"... and {more} more"] if more > 0 else []
        yield "\n".join([*(f"{what}: {message}" for message in messages[:_MAX_SHOWN]), *rest])


def _range_text(values: np.ndarray) -> str:
    low, middle, high = int(values.min()), int(np.median(values)), int(values.max())
    return str(low) if low == high else f"{low} / {middle} / {high} (min / median / max)"
