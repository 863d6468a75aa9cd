"""Overlays of segments and instances: label maps in which each segment is its own class."""

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.types import VOID
from maskformer_jax.visualize.labels import overlay, overlay_with_legend
from maskformer_jax.visualize.legend import stack_legend
from maskformer_jax.visualize.panels import side_by_side
from maskformer_jax.visualize.text import font_for

_GOLDEN_RATIO = 0.618


def panoptic_overlay(
    image: UInt8[np.ndarray, "h w 3"],
    id_map: Integer[np.ndarray, "h w"],
    labels: Mapping[int, int],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
    legend: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """Tint the image by its segments; things of one class differ in shade.

    Args:
        image: RGB.
        id_map: segment ids, 0 for none; ids missing from `labels` are not drawn either.
        labels: the class 0..K-1 of each id.
        categories: K categories in label order.
        alpha: opacity of the colours, 0..1.
        legend: whether to list the segments and their shares below.
    """
    ids = sorted(labels)
    segment_map = np.full(id_map.shape, VOID, np.int32)
    for index, segment_id in enumerate(ids):
        segment_map[id_map == segment_id] = index
    shades = segment_shades([labels[segment_id] for segment_id in ids], categories)
    draw = overlay_with_legend if legend else overlay
    return draw(image, segment_map, shades, alpha=alpha)


def instance_overlay(
    image: UInt8[np.ndarray, "h w 3"],
    masks: Bool[np.ndarray, "n h w"],
    labels: Sequence[int],
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
    legend: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """Tint the image by its instances; where they overlap, the first one is on top.

    Args:
        image: RGB.
        masks: in descending order of score.
        labels: the class 0..K-1 of each.
        categories: K categories in label order.
        alpha: opacity of the colours, 0..1.
        legend: whether to list the instances and their shares below.
    """
    ids = paint_masks(masks, image.shape[:2])
    by_id = {index + 1: label for index, label in enumerate(labels)}
    return panoptic_overlay(image, ids, by_id, categories, alpha=alpha, legend=legend)


def paint_masks(
    masks: Sequence[Bool[np.ndarray, "h w"]] | Bool[np.ndarray, "n h w"], size: tuple[int, ...]
) -> Int32[np.ndarray, "h w"]:
    """Ids 1..n of masks, the first on top; 0 where there is none."""
    ids = np.zeros(size, np.int32)
    for index in reversed(range(len(masks))):
        ids[masks[index]] = index + 1
    return ids


def panoptic_comparison(
    image: UInt8[np.ndarray, "h w 3"],
    prediction: tuple[np.ndarray, Mapping[int, int]],
    truth: tuple[np.ndarray, Mapping[int, int]],
    categories: Sequence[Category],
) -> UInt8[np.ndarray, "height width 3"]:
    """The prediction beside the ground truth, each given as an id map and the class of each id."""
    panels = [
        panoptic_overlay(image, id_map, labels, categories, legend=False)
        for id_map, labels in (prediction, truth)
    ]
    picture = side_by_side(panels, ("prediction", "ground truth"))
    predicted, true = ([*labels.values()] for _, labels in (prediction, truth))
    return count_legend(picture, predicted, true, categories, like=panels[0])


def count_legend(
    picture: UInt8[np.ndarray, "h w 3"],
    predicted: Sequence[int],
    true: Sequence[int],
    categories: Sequence[Category],
    *,
    like: UInt8[np.ndarray, "_ _ 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Append a legend of the classes, with the number of their segments in both.

    Args:
        picture: RGB.
        predicted: the class 0..K-1 of each predicted segment.
        true: of each true segment.
        categories: K categories in label order.
        like: the panel whose size the text has.
    """
    rows = [
        (categories[label], f"{predicted.count(label)} / {true.count(label)}")
        for label in sorted({*predicted, *true}, key=lambda label: -true.count(label))
    ]
    font = font_for(like.shape[:2], [category.name for category, _ in rows])
    caption = "segments, prediction / ground truth"
    return stack_legend(picture, rows, caption=caption, font=font)


def segment_shades(labels: Sequence[int], categories: Sequence[Category]) -> list[Category]:
    """A category for each segment; things of one class get different shades and numbers."""
    seen: dict[int, int] = {}
    shades = []
    for label in labels:
        category, number = categories[label], seen.get(label, 0)
        seen[label] = number + 1
        name = category.name
        if category.is_thing and labels.count(label) > 1:
            name = f"{name} {number + 1}"
        color = shade(category.color, number) if category.is_thing else category.color
        shades.append(Category(name=name, color=color, is_thing=category.is_thing))
    return shades


def shade(color: tuple[int, int, int], number: int) -> tuple[int, int, int]:
    """The colour of a segment by its number in its class: for 0 that of the class itself."""
    if number == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    # Multiples of the golden ratio spread evenly for any number of shades. A grey has no hue to
    # stay close to, so its shades use the whole colour circle.
    offset = (number * _GOLDEN_RATIO + 0.5) % 1 - 0.5
    reach = 1.0 if saturation < 0.3 else 0.25
    lightness = float(np.clip(lightness + 0.3 * ((number * 0.37) % 1 - 0.5), 0.3, 0.7))
    shifted = colorsys.hls_to_rgb((hue + reach * offset) % 1, lightness, max(saturation, 0.65))
    red, green, blue = (round(255 * channel) for channel in shifted)
    return red, green, blue
