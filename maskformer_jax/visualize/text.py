"""Text on pictures: fonts and readable colours."""

from collections.abc import Iterable

import numpy as np
from PIL import ImageFont

from maskformer_jax.visualize.fonts import find_font

_LAST_OF_DEFAULT = 0xFF  # Pillow's default font has the letters of Latin-1
PAPER = (255, 255, 255)
INK = (25, 25, 25)
FAINT_INK = (100, 100, 100)


def font_for(size: tuple[int, int], texts: Iterable[str] = ()) -> ImageFont.FreeTypeFont:
    """A font that can write some texts, at a readable size for a picture of this (height, width).

    Pillow's default for Latin letters, else one of `fonts.find_font`.
    """
    pixels = int(np.clip(round(min(size) / 28), 13, 64))
    characters = frozenset(c for c in "".join(texts) if ord(c) > _LAST_OF_DEFAULT)
    path = find_font(characters) if characters else None
    if path is not None:
        return ImageFont.truetype(path, pixels)
    font = ImageFont.load_default(pixels)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """Ascent plus descent, in pixels."""
    ascent, descent = font.getmetrics()
    return ascent + descent


def text_color(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever has more contrast to this RGB background (WCAG 2)."""
    channels = np.array(background) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    # Both contrasts are equal where (1.05 / (y + 0.05)) == (y + 0.05) / 0.05.
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)
