"""The records of `predictions.json`."""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Bool, Integer

from maskformer_jax.categories import Category
from maskformer_jax.evaluation.prediction_files import text_rles
from maskformer_jax.evaluation.result import ClassesView, InstancesView, Result, SegmentsView
from maskformer_jax.types import VOID

_MIN_LISTED_SCORE = 0.05  # of an instance


class SegmentRecord(TypedDict):
    """One segment of a panoptic result, or all pixels of one class of a semantic result."""

    category: str
    category_id: int  # the data set's own id
    label: int  # 0..K-1, the value in the label PNG
    area: int  # pixels
    share: float  # of the image, 0..1
    bbox: list[int]  # x, y, width, height of the tightest box
    # Panoptic results only:
    id: NotRequired[int]  # the value in the panoptic PNG
    is_thing: NotRequired[bool]
    score: NotRequired[float]  # class probability, 0..1


class InstanceRecord(TypedDict):
    """One detected object."""

    category: str
    category_id: int  # the data set's own id
    label: int  # 0..K-1
    score: float  # 0..1
    segmentation: dict[str, Any]  # COCO's run-length encoding


class ImageRecord(TypedDict):
    """One entry of `predictions.json`; results that the model does not give are absent."""

    file: str
    height: int
    width: int
    overlay: str  # relative to the output folder
    labels: NotRequired[str]  # likewise
    panoptic: NotRequired[str]  # likewise, segment ids as COCO writes them
    segments: NotRequired[list[SegmentRecord]]  # largest first
    instances: NotRequired[list[InstanceRecord]]  # in descending order of score


def describe_segments(result: Result, categories: Sequence[Category]) -> list[SegmentRecord] | None:
    """The segments of a result, else its classes, largest first; None for instances alone."""
    match result.main_view:
        case SegmentsView() as view:
            return describe_panoptic(view, categories)
        case ClassesView(label_map):
            return describe_classes(label_map, categories)
        case InstancesView():
            return None


def describe_panoptic(view: SegmentsView, categories: Sequence[Category]) -> list[SegmentRecord]:
    """The segments of a panoptic result, largest first."""
    records = []
    for segment in view.segments:
        record = describe_mask(view.id_map == segment.segment_id, segment.label, categories)
        record["id"] = segment.segment_id
        record["is_thing"] = segment.is_thing
        record["score"] = round(segment.score, 4)
        records.append(record)
    return sorted(records, key=lambda record: -record["area"])


def describe_classes(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> list[SegmentRecord]:
    """One record per class present in a label map, largest first; void has none."""
    labels = np.unique(label_map[label_map != VOID]).tolist()
    records = [describe_mask(label_map == label, label, categories) for label in labels]
    return sorted(records, key=lambda record: -record["area"])


def describe_instances(result: Result, categories: Sequence[Category]) -> list[InstanceRecord]:
    """The instances with a score of at least 0.05, in descending order of score."""
    listed = [one for one in result.instances or () if one.score >= _MIN_LISTED_SCORE]
    rles = text_rles(np.array([instance.mask for instance in listed], bool))
    return [
        InstanceRecord(
            category=categories[instance.label].name,
            category_id=categories[instance.label].category_id,
            label=instance.label,
            score=round(instance.score, 4),
            segmentation=rle,
        )
        for instance, rle in zip(listed, rles, strict=True)
    ]


def describe_mask(
    mask: Bool[np.ndarray, "h w"], label: int, categories: Sequence[Category]
) -> SegmentRecord:
    """The record of one segment, which has at least one pixel."""
    (top, bottom), (left, right) = (
        np.flatnonzero(mask.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0)
    )
    area = int(mask.sum())
    return SegmentRecord(
        category=categories[label].name,
        category_id=categories[label].category_id,
        label=label,
        area=area,
        share=area / mask.size,
        bbox=[left, top, right - left + 1, bottom - top + 1],
    )
