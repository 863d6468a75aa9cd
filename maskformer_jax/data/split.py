"""Parts of a split in the notation of TFDS: `train[:8]`, `val[10:20]`, `train[:80%]`."""

import re
from typing import NamedTuple

from maskformer_jax.data.example import Example, Source
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

_BOUND = r"(-?\d+%?)?"
_SPLIT = re.compile(rf"(?P<name>[^\[\]]+)(\[{_BOUND}:{_BOUND}\])?")


class Split(NamedTuple):
    """A split of a data set, or a part of it."""

    name: str  # without the brackets, such as "train"
    start: str | None = None  # an index or a percentage such as "80%"; negative: from the end
    stop: str | None = None

    def indices(self, length: int) -> range:
        """Return the examples that it selects from a split of this length."""
        return range(length)[_index(self.start, length) : _index(self.stop, length)]


def parse_split(text: str) -> Split:
    """Parse "train" or "train[:8]".

    Raises:
        UserError: it is neither.
    """
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise UserError(
            f"the split is '{text}', but must be a name, or a name and a range such as train[:8], "
            "train[100:200] or train[:80%]"
        )
    return Split(match["name"], match[3], match[4])


class Subset:
    """Some examples of a source, in the given order."""

    def __init__(self, source: Source, indices: range) -> None:
        self._source = source
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[self._indices[index]]

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        return self._source.encoded_image(self._indices[index])

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image without decoding it."""
        return self._source.image_size(self._indices[index])


def _index(bound: str | None, length: int) -> int | None:
    if bound is None:
        return None
    return round(int(bound[:-1]) * length / 100) if bound.endswith("%") else int(bound)
