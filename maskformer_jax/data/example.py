"""One labelled image as every source gives it, and what a source is."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from maskformer_jax.config import Size


class PanopticSegment(NamedTuple):
    """One segment of a panoptic annotation."""

    segment_id: int  # its value in the id map, above 0
    label: int  # 0..K-1
    is_crowd: bool  # a group that nobody counted: not trained on, not counted as missed
    area: int  # pixels, as the annotation says


class PanopticLabels(NamedTuple):
    """A panoptic annotation: who owns each pixel, and what the owners are."""

    id_map: Any  # int32 [h, w], segment ids, 0 void
    segments: tuple[PanopticSegment, ...]  # in the order of the annotation


class Instance(NamedTuple):
    """One object of an instance annotation; objects may overlap."""

    label: int  # 0..K-1
    is_crowd: bool
    area: float  # pixels, as the annotation says
    bbox: tuple[float, float, float, float]  # left, top, width, height in pixels
    rle: dict[str, Any]  # the mask in COCO's run lengths: {"size": [h, w], "counts": bytes}


class Example(NamedTuple):
    """One image with what is known about it; a source fills one or more of the last three."""

    image_id: str  # unique in its split: the data set's own id, or the file's path without suffix
    image: Any  # uint8 [h, w, 3], RGB
    label_map: Any = None  # int32 [h, w], 0..K-1, -1 void
    panoptic: PanopticLabels | None = None
    instances: tuple[Instance, ...] | None = None


@runtime_checkable  # for the type checks of the tests
class Source(Protocol):
    """Random access to the examples of one split; picklable, so that worker processes can read."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, without decoding it."""
        ...

    def encoded_image(self, index: int) -> bytes:
        """The file of an image, as it is stored."""
        ...
