"""Find all errors in a data set before they cost a training run."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config, DataConfig
from maskformer_jax.data.check_report import DatasetReport, SplitStatistics
from maskformer_jax.data.example import Example, Source
from maskformer_jax.data.folder import LAYOUTS, FolderSource, list_split
from maskformer_jax.data.folder_swap import describe_swap
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.samples import (
    require_annotation,
    require_instances,
    require_panoptic,
)
from maskformer_jax.data.sources import open_source, trusts_exif
from maskformer_jax.data.split import Subset, parse_split
from maskformer_jax.errors import UserError
from maskformer_jax.progress import Progress
from maskformer_jax.types import Size

_SEGMENT_KINDS = {
    "semantic": "classes",
    "panoptic": "segments",
    "coco_panoptic": "segments",
    "instance": "instances",
}


def check_dataset(config: Config) -> DatasetReport:
    """Read every image and annotation of the training and the evaluation split.

    Reports all of: missing, unreadable or wrongly sized files, labels outside the class range,
    inconsistent annotations, annotations that `data.mapper` cannot use, images with more segments
    than `data.num_segments` or than the model has queries, images that are all void, classes that
    never occur, and label maps without an image.

    Raises:
        UserError: there is no such data set.
    """
    data = config.data
    report = DatasetReport(load_dataset_info(data.dataset))
    for split in dict.fromkeys((data.train_split, data.eval_split)):
        try:
            source = _open_leniently(data, split, report)
        except UserError as error:
            report.problems.append(str(error))
            continue
        report.warnings += source.notes
        report.splits.append(_walk(source, split, config, report))
    return report


def _open_leniently(data: DataConfig, split: str, report: DatasetReport) -> Source:
    """Open a split; unpaired files are reported and skipped."""
    if data.format not in LAYOUTS or not data.root:
        return open_source(data, split, report.info)
    part = parse_split(split)
    listing = list_split(Path(data.root).expanduser(), part.name, LAYOUTS[data.format])
    hint = describe_swap(listing)
    if hint:
        report.problems.append(hint)
    for name in listing.unlabelled:
        report.problems.append(f"{listing.image_dir / name}: no label map in {listing.label_dir}")
    for name in listing.unused:
        report.warnings.append(f"{listing.label_dir / name}: no image of this name")
    source = FolderSource(listing, report.info, lenient=True, trust_exif=trusts_exif(data))
    return Subset(source, part.indices(len(source)))


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
    found = SplitStatistics(split, np.zeros(num_values, np.int64), np.zeros(num_values, np.int64))
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
            above_slots += finding.segments > data.num_segments
            above_queries += queries is not None and finding.segments > queries
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
