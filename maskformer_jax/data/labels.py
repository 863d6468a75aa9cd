"""Stored label values to labels 0..K-1, with a message for values that mean nothing."""

import numpy as np
from jaxtyping import Int32, Integer

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.errors import UserError

_VOID = -1
_UNKNOWN = -2
_NUM_VALUES = 2**16  # label maps have 8 or 16 bits


class LabelTable:
    """Translates the values in a data set's label maps.

    A class's stored value becomes its place in the list of categories, `ignore_label` -1.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info
        self._table = np.full(_NUM_VALUES, _UNKNOWN, np.int32)
        for label, value in enumerate(info.stored_values):
            self._table[value] = label
        if info.ignore_label is not None:
            self._table[info.ignore_label] = _VOID

    def translate(
        self, stored: Integer[np.ndarray, "h w"], *, name: str
    ) -> Int32[np.ndarray, "h w"]:
        """The label of every pixel, -1 where it is void.

        Raises:
            UserError: a value is neither a class of the data set nor its ignore label. The
                message names the file, the value, one place, and what is allowed.
        """
        if stored.dtype.itemsize > 2 and (stored.min() < 0 or stored.max() >= _NUM_VALUES):
            raise UserError(f"{name}: label {stored.max()} is outside 0..{_NUM_VALUES - 1}")
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


def describe_allowed(info: DatasetInfo) -> str:
    """The values that label maps of this data set may hold, in words."""
    ids = sorted(info.stored_values)
    if ids == list(range(ids[0], ids[-1] + 1)):
        classes = f"{ids[0]}..{ids[-1]}"
    else:
        classes = f"the {len(ids)} category ids between {ids[0]} and {ids[-1]}"
    if info.ignore_label is None:
        return classes
    return f"{classes} and {info.ignore_label} (void)"
