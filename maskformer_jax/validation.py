"""Checks of configuration values, all with the same style of message.

A check yields its message where the value is wrong and nothing where it is right, so that a
validator can report everything at once.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from maskformer_jax.errors import UserError


def require(holds: bool, field: str, value: Any, wanted: str) -> Iterator[str]:
    """Complain about one value unless `holds`.

    Args:
        holds: whether the value is right.
        field: its path, such as "config.optim.eps".
        value: what it is.
        wanted: completes the sentence "must be ...".
    """
    if not holds:
        yield f"{field} is {value!r}, but must be {wanted}"


def require_positive(section: Any, path: str, *names: str) -> Iterator[str]:
    """Complain about fields of a section that are not above 0; tuples are checked item by item."""
    for name in names:
        value = getattr(section, name)
        yield from require(
            all(item > 0 for item in _items(value)), f"{path}.{name}", value, "above 0"
        )


def require_range(
    section: Any, path: str, low: int | float, high: int | float, wanted: str, *names: str
) -> Iterator[str]:
    """Complain about fields of a section outside of low..high, both included."""
    for name in names:
        value = getattr(section, name)
        inside = all(low <= item <= high for item in _items(value))
        yield from require(inside, f"{path}.{name}", value, wanted)


def raise_problems(problems: Iterable[str], *, subject: str = "the config") -> None:
    """Raise one UserError with all problems, if there are any."""
    found = list(dict.fromkeys(problems))
    if len(found) == 1:
        raise UserError(found[0])
    if found:
        raise UserError(f"{subject} has several errors:\n  " + "\n  ".join(found))


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
