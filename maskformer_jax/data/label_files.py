"""Label map files to labels, by what the data set's label maps hold."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.images import decode_color_map, decode_label_map
from maskformer_jax.data.labels import ColorTable, LabelTable


@runtime_checkable  # for the type checks of the tests
class ReadLabels(Protocol):
    """Reads an encoded label map."""

    def __call__(self, data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
        """Return the label of every pixel, -1 where it is void."""


def label_reader(info: DatasetInfo) -> ReadLabels:
    """The reader of a data set's label maps: of values, or of colours.

    Reading raises a UserError where a file is damaged, or has a value or colour of no class.
    """
    return _ColorReader(info) if info.label_maps == "color" else _ValueReader(info)


class _ValueReader:
    def __init__(self, info: DatasetInfo) -> None:
        self._table = LabelTable(info)

    def __call__(self, data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
        return self._table.translate(decode_label_map(data, name=name), name=name)


class _ColorReader:
    def __init__(self, info: DatasetInfo) -> None:
        self._table = ColorTable(info)

    def __call__(self, data: bytes, *, name: str) -> Int32[np.ndarray, "h w"]:
        return self._table.translate(decode_color_map(data, name=name), name=name)
