"""Keeping the ids of segments over the frames of a video."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from scipy.optimize import linear_sum_assignment

LEAST_OVERLAP = 0.25  # IoU of a segment with the one it continues
MOST_FRAMES_LOST = 10  # that a segment may be hidden


class TrackedSegment(NamedTuple):
    """One segment of a frame."""

    track: int  # the same over frames, from 1
    number: int  # of the track among those of its class, from 0
    label: int  # class 0..K-1
    score: float  # 0..1
    mask: Bool[np.ndarray, "h w"]


@dataclass
class _Track:
    track: int
    number: int
    label: int
    mask: np.ndarray  # where it was last seen
    lost: int = 0  # frames since


class Tracker:
    """Gives segments that overlap those of the frames before the same ids.

    The segments of a frame are matched one to one to the tracks of their class by the largest
    sum of IoU (paper section 3.2 matches queries to objects alike). Segments without a match of at
    least 0.25 start tracks of their own; a track that is not seen for 10 frames ends.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0
        self._of_label: dict[int, int] = {}

    def update(
        self,
        masks: Sequence[Bool[np.ndarray, "h w"]],
        labels: Sequence[int],
        scores: Sequence[float],
    ) -> list[TrackedSegment]:
        """Take the segments of the next frame, in any order; returns them in this order."""
        overlap = self._overlaps(masks, labels)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        matched = {row: column for row, column in pairs if overlap[row, column] >= LEAST_OVERLAP}
        for track in self._tracks:
            track.lost += 1
        found = []
        for index, (mask, label, score) in enumerate(zip(masks, labels, scores, strict=True)):
            track = self._tracks[matched[index]] if index in matched else self._start(label)
            track.mask, track.lost = mask, 0
            found.append(TrackedSegment(track.track, track.number, label, score, mask))
        self._tracks = [track for track in self._tracks if track.lost <= MOST_FRAMES_LOST]
        return found

    def _start(self, label: int) -> _Track:
        self._count += 1
        number = self._of_label.get(label, 0)
        self._of_label[label] = number + 1
        track = _Track(self._count, number, label, np.zeros((0, 0), bool))
        self._tracks.append(track)
        return track

    def _overlaps(
        self, masks: Sequence[np.ndarray], labels: Sequence[int]
    ) -> Integer[np.ndarray, "n m"] | np.ndarray:
        """IoU of each segment with each track of its class, 0 with those of others."""
        overlap = np.zeros((len(masks), len(self._tracks)))
        areas = [int(mask.sum()) for mask in masks]
        of_tracks = [int(track.mask.sum()) for track in self._tracks]
        for i, (mask, label) in enumerate(zip(masks, labels, strict=True)):
            for j, track in enumerate(self._tracks):
                if track.label != label:
                    continue
                both = int((mask & track.mask).sum())
                if both:
                    overlap[i, j] = both / (areas[i] + of_tracks[j] - both)
        return overlap
