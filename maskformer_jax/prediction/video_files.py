"""Reading and writing videos, by PyAV (FFmpeg); the extra `video`."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskformer_jax.errors import UserError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v"})
_DEFAULT_RATE = Fraction(25)


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV: pip install 'maskformer-jax[video]'") from error
    return av


def require_video_support(paths: Sequence[Path]) -> None:
    """Check that videos can be read, before a model is loaded for them.

    Raises:
        UserError: PyAV is not installed, or a file is missing or no video; or two have equal names,
            so that their results would overwrite each other.
    """
    for path in paths:
        with VideoReader(path):
            pass
    stems = [path.stem for path in paths]
    for path in paths:
        if stems.count(path.stem) > 1:
            raise UserError(f"{path}: another video has this name; predict them one by one")


class VideoReader:
    """The frames of a video, one after the other; sound is not read. A context manager.

    Attributes:
        rate: frames per second.
        num_frames: as the file says, 0 if it does not.

    Raises:
        UserError: the file is missing, damaged, or no video.
    """

    def __init__(self, path: Path) -> None:
        av = _av()
        self._path = path
        try:
            self._container = av.open(str(path))
        except (OSError, av.FFmpegError) as error:
            raise UserError(f"{path}: cannot be read as a video ({error})") from error
        if not self._container.streams.video:
            raise UserError(f"{path}: has no pictures")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self.rate = Fraction(stream.average_rate or _DEFAULT_RATE)
        self.num_frames = int(stream.frames or 0)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        """Yield RGB frames of one size.

        Raises:
            UserError: a frame is damaged, or has another size.
        """
        av, size = _av(), None
        try:
            for frame in self._container.decode(video=0):
                image = frame.to_ndarray(format="rgb24")
                size = size or image.shape
                if image.shape != size:
                    raise UserError(f"{self._path}: the size changes from {size} to {image.shape}")
                yield image
        except av.FFmpegError as error:
            raise UserError(f"{self._path}: is damaged ({error})") from error


class VideoWriter:
    """Writes frames to a file that appears when it is complete. A context manager.

    Without a frame there is no file.

    H.264 in yuv420p, which browsers play; odd sides are cut by one pixel.

    Args:
        path: of the file, whose suffix says the container.
        rate: frames per second.
    """

    def __init__(self, path: Path, *, rate: Fraction) -> None:
        self._path, self._rate = path, rate
        self._temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = _av().open(str(self._temporary), "w")
        self._stream: Any = None

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append an RGB frame.

        Raises:
            UserError: the file cannot be written.
        """
        av = _av()
        height, width = (side // 2 * 2 for side in image.shape[:2])
        try:
            if self._stream is None:
                self._stream = self._container.add_stream("libx264", rate=self._rate)
                self._stream.height, self._stream.width = height, width
                self._stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image[:height, :width]), format="rgb24"
            )
            self._container.mux(self._stream.encode(frame))
        except (OSError, av.FFmpegError) as error:
            raise UserError(f"cannot write {self._path}: {error}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()
            if kind is None and self._stream is not None:
                self._temporary.replace(self._path)
        except (OSError, _av().FFmpegError) as failure:
            if kind is None:  # else another error is on its way
                raise UserError(f"cannot write {self._path}: {failure}") from failure
        finally:
            self._temporary.unlink(missing_ok=True)
