"""Class names written on the large regions of an overlay."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image, ImageDraw

from maskformer_jax.categories import Category
from maskformer_jax.visualize.legend import legend_entries
from maskformer_jax.visualize.text import font_for, line_height, text_color

_MIN_NAMED_SHARE = 0.008  # of the picture, below which a region gets no name


def write_names(
    picture: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
) -> UInt8[np.ndarray, "h w 3"]:
    """Write the class name inside each large region that has room for it."""
    entries = legend_entries(label_map, categories)
    font = font_for(label_map.shape, [entry.category.name for entry in entries])
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    min_area = _MIN_NAMED_SHARE * label_map.size
    pad = max(2, round(font.size / 5))
    for entry in entries:
        category = entry.category
        box_width = round(font.getlength(category.name)) + 2 * pad
        box_height = line_height(font) + pad
        for region in _large_regions(label_map == entry.label, min_area):
            position = _roomiest_position(region, (box_height, box_width))
            if position is None:
                continue
            y, x = position
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


def _large_regions(mask: Bool[np.ndarray, "h w"], min_area: float) -> list[Bool[np.ndarray, "h w"]]:
    """The connected components of the mask with at least `min_area` pixels."""
    if np.count_nonzero(mask) < min_area:
        return []
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [parts == part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= min_area]


def _roomiest_position(
    region: Bool[np.ndarray, "h w"], box: tuple[int, int]
) -> tuple[int, int] | None:
    """Centre (y, x) of a box of (height, width) as deep inside the region as possible.

    None if the box does not fit.
    """
    kernel = np.ones(tuple(side | 1 for side in box), np.uint8)
    inside = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    room = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if not room.any():
        return None
    depth = np.where(room > 0, cv2.distanceTransform(inside, cv2.DIST_L2, 3), -1)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(y) - 1, int(x) - 1
