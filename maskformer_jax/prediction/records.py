"""What `predictions.json` says about an image."""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
from jaxtyping import Bool, Integer

from maskformer_jax.categories import Category
from maskformer_jax.evaluation.prediction_files import text_rles
from maskformer_jax.evaluation.result import Result

_WORTH_A_LINE = 0.05  # score of an instance that is listed


class Segment(TypedDict):
    """The pixels of one class in one image, or of a panoptic model one segment."""

    category: str
    category_id: int  # the data set's own id
    label: int  # 0..K-1, the value in the label PNG
    area: int  # pixels
    share: float  # of the image, 0..1
    bbox: list[int]  # x, y, width, height of the tightest box
    id: NotRequired[int]  # of a panoptic model: its value in the panoptic PNG
    is_thing: NotRequired[bool]
    score: NotRequired[float]  # class probability, 0..1


class InstanceRecord(TypedDict):
    """One object."""

    category: str
    category_id: int  # the data set's own id
    label: int  # 0..K-1
    score: float  # 0..1
    segmentation: dict[str, Any]  # COCO's run lengths


class ImageRecord(TypedDict):
    """One entry of `predictions.json`. What the model does not give is not there."""

    file: str
    height: int
    width: int
    overlay: str  # relative to the output folder
    labels: NotRequired[str]  # likewise
    panoptic: NotRequired[str]  # likewise, segment ids as COCO writes them
    segments: NotRequired[list[Segment]]  # the largest first
    instances: NotRequired[list[InstanceRecord]]  # the surest first


def describe_segments(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> list[Segment]:
    """One segment for each class present in a label map, the largest first; void has none."""
    labels = np.unique(label_map[label_map >= 0]).tolist()
    segments = [_describe(label_map == label, label, categories) for label in labels]
    return sorted(segments, key=lambda segment: -segment["area"])


def describe_panoptic(result: Result, categories: Sequence[Category]) -> list[Segment]:
    """The segments of a panoptic result, the largest first."""
    segments = []
    for found in result.segments or ():
        segment = _describe(result.panoptic == found.segment_id, found.label, categories)
        segment["id"] = found.segment_id
        segment["is_thing"] = found.is_thing
        segment["score"] = round(found.score, 4)
        segments.append(segment)
    return sorted(segments, key=lambda segment: -segment["area"])


def describe_instances(result: Result, categories: Sequence[Category]) -> list[InstanceRecord]:
    """The instances of a result that are worth a line, the surest first."""
    found = [instance for instance in result.instances or () if instance.score >= _WORTH_A_LINE]
    rles = text_rles(np.array([instance.mask for instance in found], bool))
    return [
        InstanceRecord(
            category=categories[instance.label].name,
            category_id=categories[instance.label].category_id,
            label=instance.label,
            score=round(instance.score, 4),
            segmentation=rle,
        )
        for instance, rle in zip(found, rles, strict=True)
    ]


def _describe(mask: Bool[np.ndarray, "h w"], label: int, categories: Sequence[Category]) -> Segment:
    (top, bottom), (left, right) = (
        np.flatnonzero(mask.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0)
    )
    area = int(mask.sum())
    return Segment(
        category=categories[label].name,
        category_id=categories[label].category_id,
        label=label,
        area=area,
        share=area / mask.size,
        bbox=[left, top, right - left + 1, bottom - top + 1],
    )
