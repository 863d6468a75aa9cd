"""Data sets known only by their class names, as in Hugging Face's `id2label`."""

import colorsys
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskformer_jax.categories import Category, Color, DatasetInfo

_DEFAULT_NUM_LABELS = 2  # of transformers
_PLACEHOLDER = re.compile(r"(label|class|category|id|\?)?[ _-]?\d*")
_HUE_STEP = 0.618034  # the golden ratio's fraction keeps any number of hues apart
_IGNORE_LABEL, _WIDE_IGNORE_LABEL = 255, 65535  # of 8-bit and of 16-bit label maps


def info_from_names(name: str, label_names: Sequence[str]) -> DatasetInfo:
    """Describe a data set by its class names, all stuff, with colours of our choice.

    Its label maps hold the labels 0..K-1, and 255 for void (65535 for more than 255 classes).
    """
    categories = tuple(
        Category(name=label_name, color=default_color(label), category_id=label)
        for label, label_name in enumerate(label_names)
    )
    ignore_label = ignore_label_for(range(len(categories)))
    return DatasetInfo(
        name=name, categories=categories, ignore_label=ignore_label, label_maps="label"
    )


def ignore_label_for(values: Iterable[int]) -> int | None:
    """A value for void pixels that no class has: 255, or 65535 where values exceed it, or none."""
    used = set(values)
    if max(used, default=0) < _IGNORE_LABEL:
        return _IGNORE_LABEL
    return _WIDE_IGNORE_LABEL if _WIDE_IGNORE_LABEL not in used else None


def read_id2label(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names of a Hugging Face `config.json` in label order.

    Transformers writes no `id2label` where it has the default of two labels, and older files may
    have `num_labels` instead.

    Raises:
        ValueError: the labels are not numbered 0..K-1.
    """
    names = fields.get("id2label")
    if names is None:
        number = int(fields.get("num_labels", _DEFAULT_NUM_LABELS))
        names = {str(label): f"LABEL_{label}" for label in range(number)}
    names = {str(label): str(name) for label, name in names.items()}
    if not names or set(names) != {str(label) for label in range(len(names))}:
        raise ValueError(
            f'"id2label" must name the labels 0..K-1, but has {", ".join(sorted(names))}'
        )
    return tuple(names[str(label)] for label in range(len(names)))


def same_name(one: str, other: str) -> bool:
    """Whether two names of a class are the same up to spelling; either may list synonyms."""
    return one == other or bool(_synonyms(one) & _synonyms(other))


def is_placeholder(name: str) -> bool:
    """Whether a name only counts, as `LABEL_3`, `class 3` or `3`."""
    return _PLACEHOLDER.fullmatch(name.strip().lower()) is not None


def names_match(label_names: Sequence[str], info: DatasetInfo) -> bool:
    """Tell whether at least 90 % of the names, up to spelling and synonyms, are a data set's."""
    if len(label_names) != info.num_classes:
        return False
    same = sum(
        same_name(name, category.name)
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
        "ignore_colors": [list(color) for color in info.ignore_colors],
        "categories": categories,
    }
    return json.dumps(fields, indent=1) + "\n"


def _synonyms(name: str) -> set[str]:
    return {re.sub(r"[\W_]+", "", part).lower() for part in name.split(",")} - {""}


def default_color(label: int) -> Color:
    """A colour of our choice; those of small labels are far apart."""
    rgb = colorsys.hsv_to_rgb(label * _HUE_STEP % 1, 0.9 - 0.15 * (label % 3), 0.95)
    red, green, blue = (round(255 * value) for value in rgb)
    return red, green, blue
