"""Find all errors in a data set before they cost a training run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config, DataConfig
from maskformer_jax.data.check_report import Case, DatasetReport, SplitStatistics
from maskformer_jax.data.example import Example, Source
from maskformer_jax.data.folder import LAYOUTS, layout_of, list_split
from maskformer_jax.data.folder_swap import describe_swap
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.samples import (
    require_annotation,
    require_instances,
    require_panoptic,
)
from maskformer_jax.data.sources import open_leniently
from maskformer_jax.data.split import parse_split
from maskformer_jax.errors import UserError
from maskformer_jax.progress import Progress
from maskformer_jax.types import Size

_MOST_SEGMENTS_SHOWN = 2  # images of a split
_SEGMENT_KINDS = {
    "semantic": "classes",
    "panoptic": "segments",
    "coco_panoptic": "segments",
    "instance": "instances",
}


def check_dataset(config: Config, *, info: DatasetInfo | None = None) -> DatasetReport:
    """Read every image and annotation of the training and the evaluation split.

    Reports all of: missing, unreadable or wrongly sized files, labels outside the class range,
    inconsistent annotations, annotations that `data.mapper` cannot use, images with more segments
    than `data.num_segments` or than the model has queries, images that are all void, classes that
    never occur, and label maps without an image.

    Args:
        config: `data` and the number of queries are used.
        info: the classes; by default those of `data.dataset`.

    Raises:
        UserError: there is no such data set.
    """
    data = config.data
    report = DatasetReport(info or load_dataset_info(data.dataset))
    for split in dict.fromkeys((data.train_split, data.eval_split)):
        try:
            source = _open(data, split, report)
        except UserError as error:
            report.problems.append(str(error))
            continue
        report.warnings += source.notes
        report.splits.append(_walk(source, split, config, report))
    return report


def _open(data: DataConfig, split: str, report: DatasetReport) -> Source:
    """Open a split; unpaired files are reported and skipped."""
    if data.format in LAYOUTS and data.root:
        root, part = Path(data.root).expanduser(), parse_split(split)
        listing = list_split(root, part.name, layout_of(data))
        hint = describe_swap(listing)
        if hint:
            report.problems.append(hint)
        for name in listing.unlabelled:
            problem = f"{listing.image_dir / name}: no label map in {listing.label_dir}"
            if problem not in report.problems:  # of another part of the same split
                report.problems.append(problem)
        for name in listing.unused:
            warning = f"{listing.label_dir / name}: no image of this name"
            if warning not in report.warnings:
                report.warnings.append(warning)
    return open_leniently(data, split, report.info)


class _Finding(NamedTuple):
    """What is known of one example: an error, or its pixel counts, size and segments."""

    image_id: str
    error: str | None = None
    pixels: Any = None  # int64 [K + 1], void last
    size: Size = (0, 0)
    segments: int = 0


def _walk(source: Source, split: str, config: Config, report: DatasetReport) -> SplitStatistics:
    data, decoder = config.data, config.model.transformer_decoder
    queries = decoder.num_queries if config.model.head == "mask_classification" else None
    num_values = report.info.num_classes + 1
    above_slots = above_queries = 0  # images with too many segments
    crowded: list[tuple[int, Case]] = []
    found = SplitStatistics(split, np.zeros(num_values, np.int64), np.zeros(num_values, np.int64))
    with Progress(len(source), description=f"check {split}", unit="image") as progress:
        for index, finding in enumerate(_examine_all(source, data, report.info)):
            progress.update()
            if finding.error is not None:
                report.problems.append(finding.error)
                report.add_case(Case(split, index, f"example {index}", finding.error))
                continue
            found.pixels += finding.pixels
            found.images += finding.pixels > 0
            found.sizes.append(finding.size)
            found.most_segments = max(found.most_segments, finding.segments)
            if not finding.segments and data.mapper != "instance":
                report.warnings.append(f"{split} image '{finding.image_id}': all pixels are void")
                report.add_case(Case(split, index, finding.image_id, "all pixels are void"))
            reason = f"{finding.segments} {_SEGMENT_KINDS[data.mapper]}, most of {split}"
            crowded.append((finding.segments, Case(split, index, finding.image_id, reason)))
            above_slots += finding.segments > data.num_segments
            above_queries += queries is not None and finding.segments > queries
    for _, case in sorted(crowded, key=lambda one: -one[0])[:_MOST_SEGMENTS_SHOWN]:
        report.add_case(case)
    kind = _SEGMENT_KINDS[data.mapper]
    if above_slots and split == data.train_split:
        report.problems.append(
            f"config.data.num_segments is {data.num_segments}, but must be {found.most_segments}: "
            f"{above_slots} images of {split} have more {kind}"
        )
    if above_queries and split == data.train_split:
        report.warnings.append(
            f"{split}: {above_queries} images have more {kind} than the model has queries "
            f"({queries}); unmatched {kind} do not contribute to the loss"
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
        except Exception as error:  # decoders of damaged files may raise anything
            name = f"example {index} of the split"
            return _Finding("", error=f"{name}: cannot be read ({type(error).__name__}: {error})")
        return _Finding(example.image_id, pixels=pixels, size=size, segments=segments)

    with ThreadPoolExecutor(max(data.num_threads, 1)) as pool:
        yield from pool.map(examine, range(len(source)))


def _count(
    example: Example, data: DataConfig, info: DatasetInfo
) -> tuple[int, Int64[np.ndarray, " k_plus_1"]]:
    """Return the number of training segments, and the pixels of each label, void last."""
    if data.mapper == "instance":
        pixels = np.zeros(info.num_classes + 1, np.int64)
        kept = [x for x in require_instances(example, data, info) if not x.is_crowd]
        covered = np.zeros(example.image.shape[:2], bool)
        drawn = 0
        for instance in kept:
            mask = decode_mask(instance.rle)  # as training does
            pixels[instance.label] += int(np.count_nonzero(mask))
            covered |= mask
            drawn += bool(mask.any())  # training leaves out masks without pixels
        pixels[-1] = covered.size - int(np.count_nonzero(covered))
        return drawn, pixels
    label_map = require_annotation(example.label_map, "label map", example, data)
    # Void (-1) is counted first; roll it to the end.
    pixels = np.roll(np.bincount(label_map.ravel() + 1, minlength=info.num_classes + 1), -1)
    if data.mapper == "semantic":
        return int(np.count_nonzero(pixels[:-1])), pixels
    panoptic = require_panoptic(example, data)
    return sum(not segment.is_crowd for segment in panoptic.segments), pixels
