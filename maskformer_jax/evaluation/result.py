"""The results of one image, in a form convenient for users."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskformer_jax.evaluation.inference import Outputs


class Segment(NamedTuple):
    """One segment of a predicted panoptic map."""

    segment_id: int  # its value in the map, 1..n
    label: int  # class 0..K-1
    is_thing: bool
    score: float  # class probability, 0..1
    area: int  # pixels


class FoundInstance(NamedTuple):
    """One detected object; masks of different objects may overlap."""

    label: int  # class 0..K-1
    score: float  # 0..1
    mask: np.ndarray  # bool [H, W]


class SegmentsView(NamedTuple):
    """A result as segments."""

    id_map: np.ndarray  # int32 [H, W], segment ids, 0 for pixels of no segment
    segments: tuple[Segment, ...]  # by id


class ClassesView(NamedTuple):
    """A result as classes."""

    label_map: np.ndarray  # int32 [H, W], labels 0..K-1, -1 for none


class InstancesView(NamedTuple):
    """A result as instances."""

    instances: tuple[FoundInstance, ...]  # in descending order of score


@dataclass(frozen=True, kw_only=True)
class Result:
    """The prediction for one image, at the image's own size.

    A field is None if the model's task does not include it.
    """

    semantic: np.ndarray | None = None  # int32 [H, W], labels 0..K-1, -1 for none
    panoptic: np.ndarray | None = None  # int32 [H, W], segment ids, 0 for pixels of no segment
    segments: tuple[Segment, ...] | None = None  # of `panoptic`, by id
    instances: tuple[FoundInstance, ...] | None = None  # in descending order of score

    @property
    def main_view(self) -> SegmentsView | ClassesView | InstancesView:
        """What represents the image best: its segments, else its classes, else its instances."""
        if self.segments is not None and self.panoptic is not None:
            return SegmentsView(self.panoptic, self.segments)
        if self.semantic is not None:
            return ClassesView(self.semantic)
        return InstancesView(self.instances or ())


def to_result(outputs: Outputs) -> Result:
    """Convert the arrays of one image, without an axis B."""
    return Result(
        semantic=outputs.semantic,
        panoptic=None if outputs.panoptic is None else outputs.panoptic.id_map,
        segments=_list_segments(outputs),
        instances=_list_instances(outputs),
    )


def _list_segments(outputs: Outputs) -> tuple[Segment, ...] | None:
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


def _list_instances(outputs: Outputs) -> tuple[FoundInstance, ...] | None:
    found = outputs.instances
    if found is None:
        return None
    order = np.argsort(-found.score, kind="stable")
    return tuple(
        FoundInstance(int(found.label[i]), float(found.score[i]), found.masks[i])
        for i in order[found.valid[order]].tolist()
    )
