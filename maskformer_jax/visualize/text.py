"""Text on pictures: fonts and readable colours."""

import numpy as np
from PIL import ImageFont

PAPER = (255, 255, 255)
INK = (25, 25, 25)
FAINT_INK = (100, 100, 100)


def font_for(size: tuple[int, int]) -> ImageFont.FreeTypeFont:
    """Pillow's default font, at a readable size for a picture of this (height, width)."""
    pixels = int(np.clip(round(min(size) / 28), 13, 64))
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
