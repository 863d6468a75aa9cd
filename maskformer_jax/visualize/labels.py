"""Overlays of label maps: colours, class names, legends, comparisons.

Small images are first enlarged by an integer factor, so that text on them is readable and each
pixel of the label map stays a square. Void (-1) always shows the image unchanged.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.visualize.colors import (
    blend,
    enlarge_image,
    enlarge_labels,
    enlargement,
    find_boundaries,
)
from maskformer_jax.visualize.legend import legend_entries, share_text, stack_legend
from maskformer_jax.visualize.panels import side_by_side
from maskformer_jax.visualize.region_names import write_names
from maskformer_jax.visualize.text import font_for


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
    names: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """Tint the image by its labels, with thin lines between them and names on large regions.

    Args:
        image: RGB.
        label_map: labels 0..K-1, or -1 for void.
        categories: K categories in label order.
        alpha: opacity of the colours, 0..1.
        names: whether to write class names.

    Returns:
        The picture, enlarged by `enlargement(image.shape[:2])`.
    """
    factor = enlargement(image.shape[:2])
    image, label_map = enlarge_image(image, factor), enlarge_labels(label_map, factor)
    picture = blend(image, label_map, categories, alpha=alpha)
    thickness = max(1, round(min(label_map.shape) / 600))
    lines = find_boundaries(label_map, thickness=thickness)
    picture[lines] = np.rint(0.25 * picture[lines] + 0.75 * 255).astype(np.uint8)
    return write_names(picture, label_map, categories) if names else picture


def overlay_with_legend(
    image: UInt8[np.ndarray, "h w 3"],
    label_map: Integer[np.ndarray, "h w"],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "height width 3"]:
    """The overlay, and below it a legend of the classes present and their shares."""
    picture = overlay(image, label_map, categories, alpha=alpha)
    rows = [
        (entry.category, share_text(entry.share)) for entry in legend_entries(label_map, categories)
    ]
    font = font_for(picture.shape[:2], [category.name for category, _ in rows])
    return stack_legend(picture, rows, caption="share of the pixels", font=font)


def label_comparison(
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
                share_text(shares[label].share) if label in shares else "-"
                for shares in (predicted, true)
            ),
        )
        for label in [*true, *(label for label in predicted if label not in true)]
    ]
    caption = "share of the pixels, prediction / ground truth"
    font = font_for(panels[0].shape[:2], [category.name for category, _ in rows])
    return stack_legend(picture, rows, caption=caption, font=font)
