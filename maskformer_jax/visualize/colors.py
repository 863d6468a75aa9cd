"""Label maps as colours: tinted images, boundaries, and enlargement of small images."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.types import VOID

_MIN_LONG_SIDE = 480  # pixels below which an image is enlarged


def colorize(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> UInt8[np.ndarray, "h w 3"]:
    """Show each label in the colour of its category; void is black.

    Raises:
        ValueError: a label is not in -1..K-1.
    """
    if label_map.size and not VOID <= int(label_map.min()) <= int(label_map.max()) < len(
        categories
    ):
        raise ValueError(
            f"labels range from {label_map.min()} to {label_map.max()}, "
            f"but there are {len(categories)} categories"
        )
    # Index -1 (void) selects the last row.
    palette = np.array([*(category.color for category in categories), (0, 0, 0)], np.uint8)
    return palette[label_map]


def blend(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "h w 3"]:
    """Tint the image by its labels; void pixels stay unchanged.

    Args:
        image: RGB.
        label_map: labels 0..K-1, or -1 for void.
        categories: K categories in label order.
        alpha: opacity of the colours: 0 gives the image, 1 the colours.

    Raises:
        ValueError: the sizes differ, or a label is not in -1..K-1.
    """
    if image.shape[:2] != label_map.shape:
        raise ValueError(
            f"the image is {list(image.shape[:2])} (height, width), but its label map "
            f"{list(label_map.shape)}; resize the label map by nearest pixel"
        )
    colors = colorize(label_map, categories).astype(np.float32)
    mixed = np.rint(image + alpha * (colors - image)).astype(np.uint8)
    return np.where(label_map[..., None] == VOID, image, mixed)


def enlargement(size: tuple[int, int]) -> int:
    """The integer factor by which an image of this (height, width) is enlarged for viewing."""
    return max(1, -(-_MIN_LONG_SIDE // max(*size, 1)))


def enlarge_image(
    image: UInt8[np.ndarray, "h w 3"], factor: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Enlarge an image with bicubic interpolation."""
    if factor == 1:
        return image
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def enlarge_labels(
    label_map: Integer[np.ndarray, "h w"], factor: int
) -> Integer[np.ndarray, "height width"]:
    """Enlarge a label map by repeating each pixel as a square of `factor` x `factor` pixels."""
    return label_map.repeat(factor, axis=0).repeat(factor, axis=1)


def find_boundaries(
    label_map: Integer[np.ndarray, "h w"], *, thickness: int = 1
) -> Bool[np.ndarray, "h w"]:
    """Mask of the lines between different labels; lines never cover void."""
    lines = np.zeros(label_map.shape, bool)
    for before, after in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        differ = label_map[before] != label_map[after]
        # The line covers the first of the two pixels, or the second if the first is void.
        lines[before] |= differ
        lines[after] |= differ & (label_map[before] == VOID)
    if thickness > 1:
        lines = cv2.dilate(lines.astype(np.uint8), np.ones((thickness, thickness))) > 0
    return lines & (label_map != VOID)
