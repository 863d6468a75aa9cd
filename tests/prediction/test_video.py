"""Videos: every frame, ids and colours that stay, and memory that does not grow."""

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskformer_jax.categories import Category
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.result import FoundInstance, Result, Segment
from maskformer_jax.prediction.inputs import find_images
from maskformer_jax.prediction.predict_video import predict_video
from maskformer_jax.prediction.track import MOST_FRAMES_LOST, Tracker
from maskformer_jax.prediction.video_files import (
    VideoReader,
    VideoWriter,
    require_video_support,
)

pytest.importorskip("av")

CATEGORIES = (
    Category(name="ball", color=(200, 40, 40), is_thing=True, category_id=7),
    Category(name="sky", color=(40, 40, 200), category_id=9),
)
HEIGHT, WIDTH, FRAMES = 64, 96, 60
COLORS = ((255, 220, 0), (0, 255, 90))  # of the two balls


def ball_columns(frame: int) -> tuple[int, int]:
    """Where the two balls begin: they run towards each other and pass, in different rows."""
    return 2 + frame, 80 - frame


def draw_frame(frame: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for row, column, color in zip((8, 36), ball_columns(frame), COLORS, strict=True):
        image[row : row + 20, column : column + 14] = color
    return image


class ByColor:
    """Finds the balls by their colours, and hands them out in another order in each frame."""

    categories = CATEGORIES

    def __init__(self, *, instances: bool = False) -> None:
        self.instances = instances
        self.alive = 0

    def predict_frames(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Result]]:
        """The result of each frame."""
        for number, image in enumerate(frames):
            masks = [np.abs(image.astype(int) - color).sum(-1) < 120 for color in COLORS]
            order = (0, 1) if number % 2 else (1, 0)
            if self.instances:
                found = tuple(FoundInstance(0, 0.9, masks[i]) for i in order)
                yield image, Result(instances=found)
                continue
            id_map = np.full(image.shape[:2], 3, np.int32)
            segments = []
            for position, i in enumerate(order, start=1):
                id_map[masks[i]] = position
                segments.append(Segment(position, 0, True, 0.9, int(masks[i].sum())))
            segments.append(Segment(3, 1, False, 0.8, int((id_map == 3).sum())))
            yield image, Result(panoptic=id_map, segments=tuple(segments))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "balls.mp4"
    with VideoWriter(path, rate=Fraction(30)) as writer:
        for frame in range(FRAMES):
            writer.write(draw_frame(frame))
    return path


def read_frames(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return list(reader)


def ids_of_balls(lines: list[Any]) -> list[tuple[int, int]]:
    """The ids of the upper and of the lower ball in each frame."""
    found = []
    for line in lines:
        balls = [one for one in line["segments"] if one["category"] == "ball"]
        upper, lower = sorted(balls, key=lambda one: one["bbox"][1])
        found.append((upper["id"], lower["id"]))
    return found


@pytest.mark.parametrize("instances", [False, True])
def test_ids_and_colours_stay(clip: Path, tmp_path: Path, instances: bool) -> None:
    model = ByColor(instances=instances)
    written = predict_video(model, clip, tmp_path, track=True)
    assert written.frames == FRAMES
    lines = [json.loads(line) for line in written.segments.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert lines[30]["time"] == 1.0
    assert len(set(ids_of_balls(lines))) == 1
    upper, lower = ids_of_balls(lines)[0]
    assert upper != lower

    pictures = read_frames(written.overlay)
    assert len(pictures) == FRAMES
    colors = [
        [
            pictures[frame][row + 10, column + 7].astype(int)
            for row, column in zip((8, 36), ball_columns(frame), strict=True)
        ]
        for frame in range(FRAMES)
    ]
    spread = np.ptp(np.array(colors), axis=0)  # over the frames, for each ball
    assert spread.max() < 40  # what the compression leaves
    assert np.abs(np.mean(colors, axis=0)[0] - np.mean(colors, axis=0)[1]).max() > 40


def test_without_tracking_ids_follow_the_frame(clip: Path, tmp_path: Path) -> None:
    written = predict_video(ByColor(), clip, tmp_path)
    lines = [json.loads(line) for line in written.segments.read_text().splitlines()]
    assert set(ids_of_balls(lines)) == {(1, 2), (2, 1)}


def test_frames_are_not_kept(tmp_path: Path) -> None:
    """At most a few frames are alive at a time, however long the video is."""
    import gc
    import weakref

    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    class Counting(ByColor):
        def predict_frames(self, frames: Iterable[np.ndarray]) -> Any:
            nonlocal most
            for image, result in super().predict_frames(frames):
                alive.append(weakref.ref(image))
                gc.collect()
                most = max(most, sum(one() is not None for one in alive))
                yield image, result

    path = tmp_path / "long.mp4"
    with VideoWriter(path, rate=Fraction(30)) as writer:
        for frame in range(120):
            writer.write(draw_frame(frame % FRAMES))
    gc.freeze()  # the rest of the process, which would be searched for each frame
    try:
        assert predict_video(Counting(), path, tmp_path / "out", track=True).frames == 120
    finally:
        gc.unfreeze()
    assert most <= 4


def test_tracks_survive_a_gap_and_end_after_a_longer_one() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:6, 2:6] = True
    tracker = Tracker()
    (first,) = tracker.update([mask], [0], [0.9])
    for _ in range(MOST_FRAMES_LOST - 1):
        assert tracker.update([], [], []) == []
    assert tracker.update([mask], [0], [0.9])[0].track == first.track
    for _ in range(MOST_FRAMES_LOST + 1):
        tracker.update([], [], [])
    assert tracker.update([mask], [0], [0.9])[0].track != first.track


def test_classes_are_not_mixed_and_little_overlap_is_none() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:5] = True
    tracker = Tracker()
    (first,) = tracker.update([mask], [0], [0.9])
    other_class, same = tracker.update([mask, mask], [1, 0], [0.9, 0.8])
    assert (same.track, other_class.track) == (first.track, first.track + 1)
    assert (same.number, other_class.number) == (0, 0)
    moved = np.zeros((10, 10), bool)
    moved[4:9] = True  # one of nine rows in common
    (found,) = tracker.update([moved], [0], [0.9])
    assert found.track == first.track + 2
    assert found.number == 1


def test_damaged_video_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(UserError, match="cannot be read as a video"):
        predict_video(ByColor(), broken, tmp_path / "out")

    class Failing(ByColor):
        def predict_frames(self, frames: Iterable[np.ndarray]) -> Any:
            yield from list(super().predict_frames(frames))[:3]
            raise UserError("out of luck")

    with pytest.raises(UserError, match="out of luck"):
        predict_video(Failing(), clip, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_video_without_frames_is_refused(clip: Path, tmp_path: Path) -> None:
    class Blind(ByColor):
        def predict_frames(self, frames: Iterable[np.ndarray]) -> Any:
            return iter(())

    with pytest.raises(UserError, match="has no frames"):
        predict_video(Blind(), clip, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_full_disk_is_an_error_that_names_the_place(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: VideoWriter, image: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VideoWriter, "write", fail)
    with pytest.raises(UserError, match=r"cannot write to .*out: No space left"):
        predict_video(ByColor(), clip, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_equal_names_are_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another video has this name"):
        require_video_support([clip, clip])


def test_patterns_and_urls(tmp_path: Path) -> None:
    names = ("a.jpg", "b.jpg", "c.png", "[1].jpg")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    output = tmp_path / "out"
    found = find_images([tmp_path / "*.jpg"], output=output)
    assert [path.name for path, _ in found] == ["[1].jpg", "a.jpg", "b.jpg"]
    assert [path.name for path, _ in find_images([tmp_path / "[1].jpg"], output=output)] == [
        "[1].jpg"
    ]
    with pytest.raises(UserError, match="nothing matches"):
        find_images([tmp_path / "*.webp"], output=output)
    with pytest.raises(UserError, match="is a URL"):
        find_images([Path("https://example.com/a.jpg")], output=output)
