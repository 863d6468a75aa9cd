"""Fonts for names in any script: matplotlib's, or those of the system."""

import logging
from collections.abc import Iterator
from functools import cache

_LOGGER = logging.getLogger(__name__)
_MAX_LISTED = 5


@cache
def find_font(characters: frozenset[str]) -> str | None:
    """Return the file of a font that has all of the characters.

    Looks at DejaVu Sans, which comes with matplotlib, and then at the fonts of the system. Where
    none has all, a warning says so once, and the font with most of them is returned; None where no
    font has any.
    """
    best, most = None, 0
    for path in _font_files():
        number = len(characters & _read_characters(path))
        if number == len(characters):
            return path
        if number > most:
            best, most = path, number
    _LOGGER.warning(
        "no font on this system can write %s; install one, such as Noto Sans CJK (fonts-noto-cjk)",
        " ".join(sorted(characters)[:_MAX_LISTED]),
    )
    return best


def _font_files() -> Iterator[str]:
    from matplotlib import font_manager

    yield font_manager.findfont("DejaVu Sans")
    yield from sorted(font_manager.findSystemFonts())


@cache
def _read_characters(path: str) -> frozenset[str]:
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(path, fontNumber=0, lazy=True) as font:
            return frozenset(map(chr, font.getBestCmap() or ()))
    except (TTLibError, OSError, KeyError, ValueError):
        return frozenset()
