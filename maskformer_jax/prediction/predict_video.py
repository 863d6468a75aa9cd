"""Predicting videos: an overlay video, and the segments of each frame as JSON lines."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from maskformer_jax.atomic_write import require_writable
from maskformer_jax.categories import Category
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.drawing import MIN_DRAWN_SCORE
from maskformer_jax.evaluation.result import ClassesView, InstancesView, Result, SegmentsView
from maskformer_jax.prediction.records import describe_classes, describe_mask
from maskformer_jax.prediction.track import TrackedSegment, Tracker
from maskformer_jax.prediction.video_files import VideoReader, VideoWriter
from maskformer_jax.progress import Progress
from maskformer_jax.types import VOID
from maskformer_jax.visualize.colors import blend, find_boundaries
from maskformer_jax.visualize.segments import shade


@runtime_checkable
class FramePredictor(Protocol):
    """The interface of a loaded model that videos need."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in label order."""

    def predict_frames(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Result]]:
        """Each frame, RGB uint8 [H, W, 3], and its result, in order."""


class VideoOutput(NamedTuple):
    """What was written for a video."""

    frames: int
    overlay: Path
    segments: Path  # one JSON object a line


def predict_video(
    loaded: FramePredictor, path: Path, output: Path, *, track: bool = False, alpha: float = 0.5
) -> VideoOutput:
    """Write `<stem>_overlay.mp4` and `<stem>_segments.jsonl` to the folder `output`.

    Frames are read, segmented and written one batch after the other, so memory does not grow with
    the length of the video. Sound is left out.

    Args:
        loaded: the model, for example from `load_pretrained`.
        path: of the video.
        output: folder, created if missing.
        track: whether segments keep their ids, and so their colours, from frame to frame (see
            `Tracker`); otherwise they are numbered anew in each frame.
        alpha: opacity of the colours, 0..1.

    Raises:
        UserError: the video cannot be read or a file cannot be written; nothing is left then.
    """
    require_writable(output)
    overlay_path = output / f"{path.stem}_overlay.mp4"
    segments_path = output / f"{path.stem}_segments.jsonl"
    temporary = segments_path.with_name(f".{segments_path.name}.tmp")
    frames = 0
    try:
        with VideoReader(path) as reader, VideoWriter(overlay_path, rate=reader.rate) as writer:
            tracker = Tracker()
            total = reader.num_frames
            with (
                temporary.open("w", encoding="utf-8") as lines,
                Progress(total, description=path.name, unit="frame") as progress,
            ):
                for image, result in loaded.predict_frames(reader):
                    if not track:
                        tracker = Tracker()
                    picture, records = draw_frame(
                        image, result, loaded.categories, tracker, alpha=alpha
                    )
                    writer.write(picture)
                    time = round(float(frames / reader.rate), 4)
                    record = {"frame": frames, "time": time, "segments": records}
                    lines.write(json.dumps(record, ensure_ascii=False) + "\n")
                    frames += 1
                    progress.update()
            if not frames:
                raise UserError(f"{path}: has no frames")
        temporary.replace(segments_path)
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return VideoOutput(frames, overlay_path, segments_path)


def draw_frame(
    image: np.ndarray,
    result: Result,
    categories: Sequence[Category],
    tracker: Tracker,
    *,
    alpha: float,
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The overlay of a frame, and records of its segments with the ids of their tracks.

    Args:
        image: RGB uint8 [H, W, 3].
        result: of the frame.
        categories: K categories in label order.
        tracker: that has seen the frames before.
        alpha: opacity of the colours, 0..1.
    """
    view = result.main_view
    if isinstance(view, ClassesView):
        records: list[dict[str, Any]] = [*map(dict, describe_classes(view.label_map, categories))]
        return _paint(image, view.label_map, categories, alpha=alpha), records
    found = tracker.update(*_segments(view))
    segment_map = np.full(image.shape[:2], VOID, np.int32)
    shades = []
    for index, segment in reversed(list(enumerate(found))):  # the first is on top
        segment_map[segment.mask] = index
    for segment in found:
        category = categories[segment.label]
        number = segment.number if category.is_thing else 0
        shades.append(Category(name=category.name, color=shade(category.color, number)))
    records = [_record(segment, categories) for segment in found if segment.mask.any()]
    return _paint(image, segment_map, shades, alpha=alpha), records


def _segments(
    view: SegmentsView | InstancesView,
) -> tuple[list[np.ndarray], list[int], list[float]]:
    """Masks, classes and scores; of instances those with a score of at least 0.5."""
    if isinstance(view, SegmentsView):
        segments = view.segments
        masks = [view.id_map == segment.segment_id for segment in segments]
        return masks, [one.label for one in segments], [one.score for one in segments]
    drawn = [one for one in view.instances if one.score >= MIN_DRAWN_SCORE]
    return [one.mask for one in drawn], [one.label for one in drawn], [one.score for one in drawn]


def _record(segment: TrackedSegment, categories: Sequence[Category]) -> dict[str, Any]:
    return {
        "id": segment.track,
        **describe_mask(segment.mask, segment.label, categories),
        "score": round(segment.score, 4),
    }


def _paint(
    image: np.ndarray, labels: np.ndarray, categories: Sequence[Category], *, alpha: float
) -> np.ndarray:
    """Tint the image, with white lines between segments."""
    picture = blend(image, labels, categories, alpha=alpha)
    return np.where(find_boundaries(labels)[..., None], np.uint8(255), picture)
