"""Masks in COCO's JSON files: polygons, run lengths, compressed run lengths, and lists of them."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskformer_jax.data.run_lengths import RunLengths, check_run_lengths, check_runs
from maskformer_jax.types import Size

_MIN_NUMBERS = 6  # of a polygon: three points


def is_empty(segmentation: Any) -> bool:
    """Whether an annotation has no mask: none is given, or polygons of fewer than three points.

    Tools write these for boxes and for lines. (pycocotools takes two points for a box.)
    """
    if not isinstance(segmentation, list):
        return segmentation is None
    return all(isinstance(part, list) and len(part) < _MIN_NUMBERS for part in _parts(segmentation))


def to_rle(segmentation: Any, size: Size) -> RunLengths:
    """Turn a mask in any of COCO's forms to compressed run lengths that fill the image.

    Args:
        segmentation: a list of polygons [x, y, x, y, ...] in pixels, one such polygon, run lengths
            {"size": [h, w], "counts": a list or text}, or a list of these. Polygons of fewer than
            three points enclose nothing and are left out.
        size: (height, width) of the image.

    Raises:
        ValueError: it has another form, is empty, or is of another image size.
    """
    if isinstance(segmentation, list):
        if is_empty(segmentation):
            raise ValueError("no polygon has three points")
        pieces = [
            _from_polygon(part, size) if isinstance(part, list) else _from_runs(part, size)
            for part in _parts(segmentation)
            if not (isinstance(part, list) and len(part) < _MIN_NUMBERS)
        ]
        return dict(coco_mask.merge(pieces))
    return _from_runs(segmentation, size)


def _parts(segmentation: list[Any]) -> list[Any]:
    is_one_polygon = bool(segmentation) and all(isinstance(x, Real) for x in segmentation)
    return [segmentation] if is_one_polygon else segmentation


def _from_polygon(numbers: Sequence[Any], size: Size) -> RunLengths:
    if len(numbers) % 2:
        raise ValueError(f"a polygon has {len(numbers)} numbers, which are no pairs of x and y")
    if not all(isinstance(x, Real) and np.isfinite(float(x)) for x in numbers):
        raise ValueError("a polygon has values that are not finite numbers")
    [rle] = coco_mask.frPyObjects([list(numbers)], *size)
    return dict(rle)


def _from_runs(segmentation: Any, size: Size) -> RunLengths:
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError('neither polygons nor run lengths with "size" and "counts"')
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"its size is {segmentation['size']}, the image's {list(size)}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not all(isinstance(run, Real) for run in counts):
            raise ValueError("its run lengths are not numbers")
        check_runs(counts, size)
        whole = {"size": list(size), "counts": [int(run) for run in counts]}
        return dict(coco_mask.frPyObjects(whole, *size))
    try:
        encoded = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
    except (UnicodeEncodeError, TypeError) as error:
        raise ValueError("its counts are neither a list nor compressed run lengths") from error
    rle = {"size": list(size), "counts": encoded}
    check_run_lengths(rle)
    return rle
