"""Classes of which only the names are known, as in Hugging Face's `id2label`."""

import colorsys
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from maskformer_jax.categories import Category, DatasetInfo

GOLDEN_RATIO = 0.618034  # steps of hue that stay apart for any number of classes
VOID = 255  # the usual value of void pixels


def make_info(name: str, label_names: Sequence[str]) -> DatasetInfo:
    """Describe a data set by the names of its classes: all stuff, colours of our choice.

    Its label maps hold the labels 0..K-1, and 255 (or 65535, where K is larger) for void.
    """
    categories = tuple(
        Category(name=label_name, color=_pick_color(label), category_id=label)
        for label, label_name in enumerate(label_names)
    )
    ignore_label = VOID if len(categories) <= VOID else 65535
    return DatasetInfo(
        name=name, categories=categories, ignore_label=ignore_label, label_maps="label"
    )


def parse_id2label(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in label order.

    Raises:
        ValueError: the labels are not numbered 0..K-1.
    """
    names = {str(label): str(name) for label, name in labels.items()}
    if not names or set(names) != {str(label) for label in range(len(names))}:
        raise ValueError('"id2label" should name the labels 0..K-1')
    return tuple(names[str(label)] for label in range(len(names)))


def agree(label_names: Sequence[str], info: DatasetInfo) -> bool:
    """Whether names are those of a data set, but for spelling and synonyms of a few."""
    if len(label_names) != info.num_classes:
        return False
    same = sum(
        bool(_synonyms(name) & _synonyms(category.name))
        for name, category in zip(label_names, info.categories, strict=True)
    )
    return same >= 0.9 * info.num_classes


def to_json(info: DatasetInfo) -> str:
    """The description of a data set as `load_dataset_info` reads it."""
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
    rgb = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.9 - 0.15 * (label % 3), 0.95)
    red, green, blue = (round(255 * value) for value in rgb)
    return red, green, blue
