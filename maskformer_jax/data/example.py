"""One labelled image as every source gives it, and what a source is."""

from typing import Any, NamedTuple, Protocol, runtime_checkable


class Example(NamedTuple):
    """One image with a class for each pixel."""

    image_id: str  # unique in its split: the file's path below images/<split>, without suffix
    image: Any  # uint8 [h, w, 3], RGB
    label_map: Any  # int32 [h, w], 0..K-1, -1 void


@runtime_checkable  # for the type checks of the tests
class Source(Protocol):
    """Random access to the examples of one split; picklable, so that worker processes can read."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...
