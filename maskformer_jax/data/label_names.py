"""Data sets known only by their class names, as in Hugging Face's `id2label`."""

import colorsys
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from maskformer_jax.categories import Category, DatasetInfo

_HUE_STEP = 0.618034  # the golden ratio's fraction keeps any number of hues apart
_IGNORE_LABEL, _WIDE_IGNORE_LABEL = 255, 65535  # of 8-bit and of 16-bit label maps


def info_from_names(name: str, label_names: Sequence[str]) -> DatasetInfo:
    """Describe a data set by its class names, all stuff, with colours of our choice.

    Its label maps hold the labels 0..K-1, and 255 for void (65535 for more than 255 classes).
    """
    categories = tuple(
        Category(name=label_name, color=_pick_color(label), category_id=label)
        for label, label_name in enumerate(label_names)
    )
    ignore_label = _IGNORE_LABEL if len(categories) <= _IGNORE_LABEL else _WIDE_IGNORE_LABEL
    return DatasetInfo(
        name=name, categories=categories, ignore_label=ignore_label, label_maps="label"
    )


def parse_id2label(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in label order.

    Raises:
        ValueError: the labels are not numbered 0..K-1.
    """
    names = {str(label): str(name) for label, name in labels.items()}
    if not names or set(names) != {str(label) for label in range(len(names))}:
        raise ValueError('"id2label" must name the labels 0..K-1')
    return tuple(names[str(label)] for label in range(len(names)))


def names_match(label_names: Sequence[str], info: DatasetInfo) -> bool:
    """Tell whether at least 90 % of the names, up to spelling and synonyms, are a data set's."""
    if len(label_names) != info.num_classes:
        return False
    same = sum(
        bool(_synonyms(name) & _synonyms(category.name))
        for name, category in zip(label_names, info.categories, strict=True)
    )
    return same >= 0.9 * info.num_classes


def to_json(info: DatasetInfo) -> str:
    """Write the description of a data set in the format that `load_dataset_info` reads."""
    categories = [
        {
            "name": category.name,
            "color": list(category.color),
            "is_thing": category.is_thing,
            "category_id": category.category_id,
        }
        for category in info.categories
    ]
    fields = {
        "name": info.name,
        "ignore_label": info.ignore_label,
        "label_maps": info.label_maps,
        "categories": categories,
    }
    return json.dumps(fields, indent=1) + "\n"


def _synonyms(name: str) -> set[str]:
    return {re.sub(r"[\W_]+", "", part).lower() for part in name.split(",")}


def _pick_color(label: int) -> tuple[int, int, int]:
    rgb = colorsys.hsv_to_rgb(label * _HUE_STEP % 1, 0.9 - 0.15 * (label % 3), 0.95)
    red, green, blue = (round(255 * value) for value in rgb)
    return red, green, blue
