"""Parts of a split in the notation of TFDS: `train[:8]`, `val[10:20]`, `train[:80%]`.

`all[shuffled :80%]` and `all[shuffled 80%:]` are two parts of a split in one random order, always
the same for the same number of examples: a way to hold out examples where there is one split.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.example import Example, Source
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

_BOUND = r"(?:-?\d+%?)?"
_SPLIT = re.compile(
    rf"(?P<name>[^\[\]]+)(\[(?P<shuffled>shuffled )?(?P<start>{_BOUND}):(?P<stop>{_BOUND})\])?"
)
_SHUFFLE_SEED = 0


class Split(NamedTuple):
    """A split of a data set, or a part of it."""

    name: str  # without the brackets, such as "train"
    start: str | None = None  # an index or a percentage such as "80%"; negative: from the end
    stop: str | None = None
    shuffled: bool = False  # whether the indices are those of the random order

    def indices(self, length: int) -> list[int]:
        """Return the examples that it selects from a split of this length, in ascending order."""
        order = list(range(length))
        if self.shuffled:
            order = np.random.default_rng(_SHUFFLE_SEED).permutation(length).tolist()
        return sorted(order[_index(self.start, length) : _index(self.stop, length)])


def parse_split(text: str) -> Split:
    """Parse "train" or "train[:8]".

    Raises:
        UserError: it is neither.
    """
    match = _SPLIT.fullmatch(text)
    if match is None:
        raise UserError(
            f"the split is '{text}', but must be a name, or a name and a range such as train[:8], "
            "train[100:200], train[:80%] or train[shuffled :80%]"
        )
    return Split(
        match["name"], match["start"] or None, match["stop"] or None, bool(match["shuffled"])
    )


class Subset:
    """Some examples of a source, in the given order."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = indices

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out when the split was opened."""
        return self._source.notes

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
