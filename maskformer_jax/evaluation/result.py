"""The results of one image in a form that is pleasant to use."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskformer_jax.evaluation.inference import Outputs


class Segment(NamedTuple):
    """One segment of a panoptic map."""

    segment_id: int  # its value in the map, 1..n
    label: int  # class 0..K-1
    is_thing: bool
    score: float  # class probability, 0..1
    area: int  # pixels


class FoundInstance(NamedTuple):
    """One object; the masks of several may overlap."""

    label: int  # class 0..K-1
    score: float  # 0..1
    mask: np.ndarray  # bool [H, W]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a model says about one image, at the image's own size.

    A field is None where the model does not give it.
    """

    semantic: np.ndarray | None = None  # int32 [H, W], labels 0..K-1
    panoptic: np.ndarray | None = None  # int32 [H, W], segment ids, 0 where there is none
    segments: tuple[Segment, ...] | None = None  # of `panoptic`, by id
    instances: tuple[FoundInstance, ...] | None = None  # the surest first


def describe(outputs: Outputs) -> Result:
    """The results of one image from its arrays, without an axis B."""
    return Result(
        semantic=outputs.semantic,
        panoptic=None if outputs.panoptic is None else outputs.panoptic.id_map,
        segments=list_segments(outputs),
        instances=list_instances(outputs),
    )


def list_segments(outputs: Outputs) -> tuple[Segment, ...] | None:
    """The segments of a panoptic result; None where there is none."""
    found = outputs.panoptic
    if found is None:
        return None
    areas = np.bincount(found.id_map.ravel(), minlength=len(found.valid) + 1)
    return tuple(
        Segment(
            segment_id=slot + 1,
            label=int(found.label[slot]),
            is_thing=bool(found.is_thing[slot]),
            score=float(found.score[slot]),
            area=int(areas[slot + 1]),
        )
        for slot in np.flatnonzero(found.valid).tolist()
    )


def list_instances(outputs: Outputs) -> tuple[FoundInstance, ...] | None:
    """The instances of a result, the surest first; None where there are none asked for."""
    found = outputs.instances
    if found is None:
        return None
    order = np.argsort(-found.score, kind="stable")
    return tuple(
        FoundInstance(int(found.label[i]), float(found.score[i]), found.masks[i])
        for i in order[found.valid[order]].tolist()
    )
