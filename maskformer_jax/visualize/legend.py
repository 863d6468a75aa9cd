"""Legends: the classes in a picture, with their colours and shares of the pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from maskformer_jax.categories import Category
from maskformer_jax.types import VOID
from maskformer_jax.visualize.text import FAINT_INK, INK, PAPER, font_for, line_height


class LegendEntry(NamedTuple):
    """One class present in a label map."""

    label: int
    category: Category
    share: float  # of all pixels, void included, 0..1


def legend_entries(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> list[LegendEntry]:
    """The classes present in a label map, largest first."""
    labels, counts = np.unique(label_map[label_map != VOID], return_counts=True)
    entries = [
        LegendEntry(int(label), categories[label], int(count) / label_map.size)
        for label, count in zip(labels, counts, strict=True)
    ]
    return sorted(entries, key=lambda entry: -entry.share)


def share_text(share: float) -> str:
    """A share 0..1 as a percentage with one decimal."""
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"


def add_note(picture: UInt8[np.ndarray, "h w 3"], note: str) -> UInt8[np.ndarray, "height width 3"]:
    """Append a line of text below the picture."""
    font = font_for(picture.shape[:2], [note])
    gap = round(0.6 * line_height(font))
    width = max(picture.shape[1], round(font.getlength(note)) + 2 * gap)
    canvas = Image.new("RGB", (width, picture.shape[0] + line_height(font) + 2 * gap), PAPER)
    canvas.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    position = (gap, picture.shape[0] + gap + line_height(font) / 2)
    ImageDraw.Draw(canvas).text(position, note, fill=INK, font=font, anchor="lm")
    return np.array(canvas)


def stack_legend(
    picture: UInt8[np.ndarray, "h w 3"],
    rows: Sequence[tuple[Category, str]],
    *,
    caption: str,
    font: ImageFont.FreeTypeFont,
) -> UInt8[np.ndarray, "height width 3"]:
    """Append a caption and columns of entries below the picture.

    Args:
        picture: RGB.
        rows: for each entry the category, shown as a coloured square and its name, and a text.
        caption: of the legend.
        font: of all text.
    """
    height, width = picture.shape[:2]
    line = round(1.4 * line_height(font))
    swatch, gap = line_height(font), round(0.6 * line_height(font))
    name_width = max((font.getlength(category.name) for category, _ in rows), default=0)
    text_width = max((font.getlength(text) for _, text in rows), default=0)
    column = round(swatch + name_width + text_width + 4 * gap)
    width = max(width, column, round(font.getlength(caption)) + 2 * gap)
    columns = min(width // column, max(len(rows), 1))
    lines = -(-len(rows) // columns)
    top = height + gap + line
    canvas = Image.new("RGB", (width, top + lines * line + gap), PAPER)
    canvas.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    draw.text((gap, top - line / 2), caption, fill=FAINT_INK, font=font, anchor="lm")
    for index, (category, text) in enumerate(rows):
        # Column by column, so that the order by size stays apparent.
        left = (index // lines) * (width // columns) + gap
        middle = top + (index % lines + 0.5) * line
        box = (left, middle - swatch / 2, left + swatch, middle + swatch / 2)
        draw.rectangle(box, fill=category.color, outline=INK)
        start = left + swatch + gap / 2
        draw.text((start, middle), category.name, fill=INK, font=font, anchor="lm")
        end = start + name_width + gap + text_width
        draw.text((end, middle), text, fill=INK, font=font, anchor="rm")
    return np.array(canvas)
