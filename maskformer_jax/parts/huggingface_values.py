"""Helpers for the values of Hugging Face's `config.json`."""

from collections.abc import Mapping, Sequence
from typing import Any


def find_differences(
    section: str, values: Mapping[str, Any], fixed: Mapping[str, Any]
) -> list[str]:
    """Describe the values that our module does not support; absent ones are fine."""
    return [
        f"{section}.{name} is {values[name]!r}, should be {wanted!r}"
        for name, wanted in fixed.items()
        if values.get(name) is not None and values[name] != wanted
    ]


def four_integers(values: Sequence[int]) -> tuple[int, int, int, int]:
    """The values of the four stages.

    Raises:
        ValueError: there are not four.
    """
    first, second, third, fourth = (int(value) for value in values)
    return first, second, third, fourth
