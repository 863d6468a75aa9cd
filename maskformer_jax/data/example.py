"""A labelled image as every source returns it, and the interface of a source."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from maskformer_jax.data.run_lengths import RunLengths
from maskformer_jax.types import Size

VOID_ID = 0  # segment id of void pixels


class PanopticSegment(NamedTuple):
    """One segment of a panoptic annotation."""

    segment_id: int  # its value in the id map, above 0, which is void
    label: int  # 0..K-1
    is_crowd: bool  # an uncounted group: neither trained on nor counted as missed
    area: int  # pixels, as the annotation states it


class PanopticLabels(NamedTuple):
    """A panoptic annotation: the segment of each pixel, and a description of each segment."""

    id_map: Any  # int32 [h, w], segment ids, 0 void
    segments: tuple[PanopticSegment, ...]  # in the order of the annotation


class Instance(NamedTuple):
    """One object of an instance annotation; objects may overlap."""

    label: int  # 0..K-1
    is_crowd: bool
    area: float  # pixels, as the annotation states it
    bbox: tuple[float, float, float, float]  # left, top, width, height in pixels
    rle: RunLengths  # the mask


class Example(NamedTuple):
    """One image with its annotations; a source fills at least one of the last three fields."""

    image_id: str  # unique in its split: the data set's own id, or the file's path without suffix
    image: Any  # uint8 [h, w, 3], RGB
    label_map: Any = None  # int32 [h, w], 0..K-1, -1 void
    panoptic: PanopticLabels | None = None
    instances: tuple[Instance, ...] | None = None
    source_id: int | str | None = None  # the id in the data set's JSON file, where it has one


@runtime_checkable  # for the type checks of the tests
class Source(Protocol):
    """Random access to the examples of one split; picklable, so that worker processes can read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out when the split was opened, for people to read."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image without decoding it."""
        ...

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored (JPEG, PNG, ...)."""
        ...
