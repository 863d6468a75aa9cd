"""Stored values of label maps to labels 0..K-1 and back; unknown values are errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.errors import UserError
from maskformer_jax.types import VOID

_UNKNOWN = -2
_NUM_VALUES = 2**16  # label maps have 8 or 16 bits


class LabelTable:
    """Translates the values in a data set's label maps to labels.

    The stored value of a class becomes its index in the list of categories, `ignore_label` -1.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        highest = max(info.stored_values)
        if highest >= _NUM_VALUES:
            raise UserError(
                f"'{info.name}' has the category id {highest}, but label maps hold at most "
                f"{_NUM_VALUES - 1}"
            )
        self._table = lookup_table(
            info.stored_values, size=_NUM_VALUES, default=_UNKNOWN, dtype=np.int32
        )
        if info.ignore_label is not None:
            self._table[info.ignore_label] = VOID

    def translate(
        self, stored: Integer[np.ndarray, "h w"], *, name: str
    ) -> Int32[np.ndarray, "h w"]:
        """Return the label of every pixel, -1 where it is void.

        Raises:
            UserError: a value is neither a class of the data set nor its ignore label. The
                message names the file, the value, one position and the allowed values.
        """
        if stored.dtype.itemsize > 2 and (stored.min() < 0 or stored.max() >= _NUM_VALUES):
            wrong = stored.min() if stored.min() < 0 else stored.max()
            raise UserError(f"{name}: label {wrong} is outside 0..{_NUM_VALUES - 1}")
        labels = self._table.take(stored)
        if labels.min(initial=0) == _UNKNOWN:
            raise UserError(self._describe_unknown(stored, labels == _UNKNOWN, name=name))
        return labels

    def _describe_unknown(self, stored: np.ndarray, unknown: np.ndarray, *, name: str) -> str:
        values, counts = np.unique(stored[unknown], return_counts=True)
        row, column = np.argwhere(unknown)[0]
        others = f" (and {len(values) - 1} other values)" if len(values) > 1 else ""
        first = stored[row, column]
        return (
            f"{name}: label {first} at row {row}, column {column} is outside the class range of "
            f"'{self._info.name}'{others}, {counts.sum()} pixels in all; allowed are "
            f"{describe_allowed(self._info)}"
        )


class ColorTable:
    """Translates label maps whose colours are classes to labels."""

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        colors = [category.color for category in info.categories]
        void = [VOID] * len(info.ignore_colors)
        packed = _pack(np.array([*colors, *info.ignore_colors]))
        self._order = np.argsort(packed)
        self._packed = packed[self._order]
        self._labels = np.array([*range(len(colors)), *void], np.int32)[self._order]

    def translate(
        self, colors: UInt8[np.ndarray, "h w 3"], *, name: str
    ) -> Int32[np.ndarray, "h w"]:
        """Return the label of every pixel, -1 where it is void.

        Raises:
            UserError: a colour is not in the table; names the file, the colour and one position.
        """
        packed = _pack(colors)
        index = np.minimum(np.searchsorted(self._packed, packed), len(self._packed) - 1)
        unknown = self._packed[index] != packed
        if unknown.any():
            row, column = np.argwhere(unknown)[0]
            raise UserError(
                f"{name}: the colour {tuple(colors[row, column].tolist())} at row {row}, column "
                f"{column} is no class of '{self._info.name}', {unknown.sum()} pixels in all. Add "
                "it to the colour table; 'void' is the name of pixels to ignore"
            )
        return self._labels[index]


def _pack(colors: Integer[np.ndarray, "*shape 3"]) -> Int32[np.ndarray, "*shape"]:
    red, green, blue = (colors[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) + (green << 8) + blue


def to_stored(label_map: Int32[np.ndarray, "h w"], info: DatasetInfo) -> Integer[np.ndarray, "h w"]:
    """Invert `LabelTable.translate`: uint8 where all values fit, else uint16.

    Where the data set has no ignore label, the map must have no void pixels.
    """
    void = [] if info.ignore_label is None else [info.ignore_label]
    values = np.array([*info.stored_values, *void])
    dtype = np.uint8 if values.max() <= 255 else np.uint16
    return values.astype(dtype)[label_map]  # void (-1) indexes the last value


def lookup_table(values: Sequence[int], *, size: int, default: int, dtype: Any) -> np.ndarray:
    """Return an array of `size` entries that holds i at `values[i]`, and `default` elsewhere."""
    table = np.full(size, default, dtype)
    table[list(values)] = np.arange(len(values))
    return table


def category_id_table(info: DatasetInfo, *, dtype: Any) -> np.ndarray:
    """Map category ids to labels, and all other values of `dtype` to the ignore label."""
    if info.ignore_label is None:
        raise ValueError(f"{info.name} has no ignore label")
    ids = [category.category_id for category in info.categories]
    size = int(np.iinfo(dtype).max) + 1
    return lookup_table(ids, size=size, default=info.ignore_label, dtype=dtype)


def describe_allowed(info: DatasetInfo) -> str:
    """Describe the values that label maps of a data set may hold."""
    ids = sorted(info.stored_values)
    if ids == list(range(ids[0], ids[-1] + 1)):
        classes = f"{ids[0]}..{ids[-1]}"
    else:
        classes = f"the {len(ids)} category ids between {ids[0]} and {ids[-1]}"
    if info.ignore_label is None:
        return classes
    return f"{classes} and {info.ignore_label} (void)"
