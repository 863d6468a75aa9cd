"""Pictures of label maps for people: colours, overlays with names, legends, comparisons.

Small images are enlarged by a whole factor first, so that the text on them can be read and each
pixel of the label map stays a square. Void (-1) always shows the image as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from maskformer_jax.categories import Category

_MIN_LONG_SIDE = 480  # pixels below which an image is enlarged
_MIN_NAMED_SHARE = 0.008  # of the picture, below which a region gets no name
_PAPER = (255, 255, 255)
_INK = (25, 25, 25)
_FAINT_INK = (100, 100, 100)


class LegendEntry(NamedTuple):
    """One class that is present in a picture."""

    label: int
    category: Category
    share: float  # of all pixels of the label map, void included, 0..1


def colorize(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> UInt8[np.ndarray, "h w 3"]:
    """Each label in the colour of its category; void is black.

    Raises:
        ValueError: a label is not in -1..K-1.
    """
    if label_map.size and not -1 <= int(label_map.min()) <= int(label_map.max()) < len(categories):
        raise ValueError(
            f"labels reach from {label_map.min()} to {label_map.max()}, "
            f"but there are {len(categories)} categories"
        )
    # Index -1 picks the last row, which is the one for void.
    palette = np.array([*(category.color for category in categories), (0, 0, 0)], np.uint8)
    return palette[label_map]


def blend(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "h w 3"]:
    """The image tinted by its labels: alpha 0 is the image, 1 the colours, void stays as it is."""
    colors = colorize(label_map, categories).astype(np.float32)
    mixed = np.rint(image + alpha * (colors - image)).astype(np.uint8)
    return np.where(label_map[..., None] < 0, image, mixed)


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
    names: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """The image tinted by its labels, with thin lines between them and names on large regions.

    Args:
        image: RGB.
        label_map: labels 0..K-1, or -1 for void.
        categories: K categories in label order.
        alpha: strength of the colours, 0..1.
        names: whether to write class names.

    Returns:
        The picture at the size of the image times `enlargement(image.shape[:2])`.
    """
    factor = enlargement(image.shape[:2])
    image, label_map = enlarge_image(image, factor), enlarge_labels(label_map, factor)
    picture = blend(image, label_map, categories, alpha=alpha)
    thickness = max(1, round(min(label_map.shape) / 600))
    lines = find_boundaries(label_map, thickness=thickness)
    picture[lines] = np.rint(0.25 * picture[lines] + 0.75 * 255).astype(np.uint8)
    return _write_names(picture, label_map, categories) if names else picture


def overlay_with_legend(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "height width 3"]:
    """The overlay with a panel below it that lists the classes present and their shares."""
    picture = overlay(image, label_map, categories, alpha=alpha)
    rows = [
        (entry.category, _share_text(entry.share))
        for entry in legend_entries(label_map, categories)
    ]
    font = _font_for(picture.shape[:2])
    return _stack_legend(picture, rows, caption="share of the pixels", font=font)


def comparison(
    image: UInt8[np.ndarray, "h w 3"],
    prediction: Integer[np.ndarray, "h w"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "height width 3"]:
    """The prediction beside the ground truth; the legend gives both shares of each class."""
    panels = [overlay(image, labels, categories, alpha=alpha) for labels in (prediction, label_map)]
    picture = side_by_side(panels, ("prediction", "ground truth"))
    predicted = {entry.label: entry for entry in legend_entries(prediction, categories)}
    true = {entry.label: entry for entry in legend_entries(label_map, categories)}
    rows = [
        (
            categories[label],
            " / ".join(
                _share_text(shares[label].share) if label in shares else "-"
                for shares in (predicted, true)
            ),
        )
        for label in [*true, *(label for label in predicted if label not in true)]
    ]
    caption = "share of the pixels, prediction / ground truth"
    return _stack_legend(picture, rows, caption=caption, font=_font_for(panels[0].shape[:2]))


def side_by_side(
    panels: Sequence[UInt8[np.ndarray, "h w 3"]], titles: Sequence[str]
) -> UInt8[np.ndarray, "height width 3"]:
    """Pictures of one size in a row, each below its title."""
    height, width = panels[0].shape[:2]
    font = _font_for((height, width))
    gap, title_height = _line_height(font) // 2, round(1.5 * _line_height(font))
    canvas = Image.new("RGB", (len(panels) * (width + gap) - gap, title_height + height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        left = index * (width + gap)
        draw.text((left + width / 2, title_height / 2), title, fill=_INK, font=font, anchor="mm")
        canvas.paste(Image.fromarray(panel), (left, title_height))
    return np.array(canvas)


def legend_entries(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> list[LegendEntry]:
    """The classes present, the largest first."""
    labels, counts = np.unique(label_map[label_map >= 0], return_counts=True)
    entries = [
        LegendEntry(int(label), categories[label], int(count) / label_map.size)
        for label, count in zip(labels, counts, strict=True)
    ]
    return sorted(entries, key=lambda entry: -entry.share)


def enlargement(size: tuple[int, int]) -> int:
    """The whole factor by which an image of this (height, width) is enlarged for viewing."""
    return max(1, -(-_MIN_LONG_SIDE // max(*size, 1)))


def enlarge_image(
    image: UInt8[np.ndarray, "h w 3"], factor: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The image, smoothly enlarged."""
    if factor == 1:
        return image
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def enlarge_labels(
    label_map: Integer[np.ndarray, "h w"], factor: int
) -> Integer[np.ndarray, "height width"]:
    """The label map with each pixel as a square of `factor` pixels."""
    return label_map.repeat(factor, axis=0).repeat(factor, axis=1)


def find_boundaries(
    label_map: Integer[np.ndarray, "h w"], *, thickness: int = 1
) -> Bool[np.ndarray, "h w"]:
    """Pixels of lines between different labels; never on void."""
    lines = np.zeros(label_map.shape, bool)
    for before, after in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        differ = label_map[before] != label_map[after]
        # The line lies on the first of the two pixels, or on the second where that is void.
        lines[before] |= differ
        lines[after] |= differ & (label_map[before] < 0)
    if thickness > 1:
        lines = cv2.dilate(lines.astype(np.uint8), np.ones((thickness, thickness))) > 0
    return lines & (label_map >= 0)


def text_color(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever stands out more on this RGB background (WCAG 2 contrast)."""
    channels = np.array(background) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    # Both contrasts are equal where (1.05 / (y + 0.05)) == (y + 0.05) / 0.05.
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def _share_text(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"


def _font_for(size: tuple[int, int]) -> ImageFont.FreeTypeFont:
    """A font that can be read on a picture of this (height, width). Pillow brings it along."""
    pixels = int(np.clip(round(min(size) / 28), 13, 64))
    font = ImageFont.load_default(pixels)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent


def _write_names(
    picture: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
) -> UInt8[np.ndarray, "h w 3"]:
    """Write the class name inside each large region in which it fits."""
    font = _font_for(label_map.shape)
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    least = _MIN_NAMED_SHARE * label_map.size
    pad = max(2, round(font.size / 5))
    for entry in legend_entries(label_map, categories):
        category = entry.category
        box_width = round(font.getlength(category.name)) + 2 * pad
        box_height = _line_height(font) + pad
        for region in _large_regions(label_map == entry.label, least):
            place = _roomiest_place(region, (box_height, box_width))
            if place is None:
                continue
            y, x = place
            box = (
                x - box_width / 2,
                y - box_height / 2,
                x + box_width / 2,
                y + box_height / 2,
            )
            draw.rounded_rectangle(box, radius=pad, fill=category.color)
            ink = text_color(category.color)
            draw.text((x, y), category.name, fill=ink, font=font, anchor="mm")
    return np.array(canvas)


def _large_regions(mask: Bool[np.ndarray, "h w"], least: float) -> list[Bool[np.ndarray, "h w"]]:
    """The connected parts of the mask with at least `least` pixels."""
    if np.count_nonzero(mask) < least:
        return []
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [parts == part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= least]


def _roomiest_place(
    region: Bool[np.ndarray, "h w"], box: tuple[int, int]
) -> tuple[int, int] | None:
    """Where in the region a box of (height, width) lies deepest; None where it does not fit."""
    kernel = np.ones(tuple(side | 1 for side in box), np.uint8)
    inside = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    room = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if not room.any():
        return None
    depth = np.where(room > 0, cv2.distanceTransform(inside, cv2.DIST_L2, 3), -1)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(y) - 1, int(x) - 1


def _stack_legend(
    picture: UInt8[np.ndarray, "h w 3"],
    rows: Sequence[tuple[Category, str]],
    *,
    caption: str,
    font: ImageFont.FreeTypeFont,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with a caption and columns of coloured squares, names and texts below it."""
    height, width = picture.shape[:2]
    line = round(1.4 * _line_height(font))
    swatch, gap = _line_height(font), round(0.6 * _line_height(font))
    name_width = max((font.getlength(category.name) for category, _ in rows), default=0)
    text_width = max((font.getlength(text) for _, text in rows), default=0)
    column = round(swatch + name_width + text_width + 4 * gap)
    width = max(width, column, round(font.getlength(caption)) + 2 * gap)
    columns = min(width // column, max(len(rows), 1))
    lines = -(-len(rows) // columns)
    top = height + gap + line
    canvas = Image.new("RGB", (width, top + lines * line + gap), _PAPER)
    canvas.paste(Image.fromarray(picture), ((width - picture.shape[1]) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    draw.text((gap, top - line / 2), caption, fill=_FAINT_INK, font=font, anchor="lm")
    for index, (category, text) in enumerate(rows):
        # Down the first column, then the next: the order of size stays readable.
        left = (index // lines) * (width // columns) + gap
        middle = top + (index % lines + 0.5) * line
        box = (left, middle - swatch / 2, left + swatch, middle + swatch / 2)
        draw.rectangle(box, fill=category.color, outline=_INK)
        start = left + swatch + gap / 2
        draw.text((start, middle), category.name, fill=_INK, font=font, anchor="lm")
        end = start + name_width + gap + text_width
        draw.text((end, middle), text, fill=_INK, font=font, anchor="rm")
    return np.array(canvas)
