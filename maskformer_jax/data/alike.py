"""Findings that differ only in names and numbers, told once."""

import re
from collections.abc import Sequence

_FEWEST = 4  # findings that are told together
_NAMED = 3  # further files in the message
_VARYING = re.compile(r"'[^']*'|\S*/\S*|\d+")  # names in quotes, paths, numbers


def tell_once(messages: Sequence[str]) -> list[str]:
    """Replace messages that are alike by the first of them, with how many there are."""
    groups: dict[str, list[str]] = {}
    for message in messages:
        groups.setdefault(_kind(message), []).append(message)
    told: list[str] = []
    for group in groups.values():
        if len(group) < _FEWEST:
            told += group
            continue
        others = ", ".join(_subject(message) for message in group[1 : 1 + _NAMED])
        rest = f" and {len(group) - 1 - _NAMED} more" if len(group) > 1 + _NAMED else ""
        told.append(f"{len(group)} files fail alike: {group[0]} (likewise {others}{rest})")
    return told


def tell_alike(one: str, other: str) -> bool:
    """Whether two messages differ only in names and numbers."""
    return _kind(one) == _kind(other)


def _kind(message: str) -> str:
    return _VARYING.sub("#", message)


def _subject(message: str) -> str:
    """What a message is about: the file or image that it begins with."""
    path = re.match(r"(?P<name>.*?/.*?)(: | and /)", message)
    return path["name"] if path else (re.search(r"'([^']*)'", message) or [message])[0]
