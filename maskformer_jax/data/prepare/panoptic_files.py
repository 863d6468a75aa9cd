"""Writing panoptic annotations in COCO's form."""

import json
from typing import Any

import numpy as np
from jaxtyping import Bool

from maskformer_jax.categories import DatasetInfo


def describe_segment(
    segment_id: int, category_id: int, mask: Bool[np.ndarray, "h w"], *, is_crowd: bool = False
) -> dict[str, Any]:
    """An entry of segments_info; the mask has a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "id": segment_id,
        "category_id": category_id,
        "iscrowd": int(is_crowd),
        "area": int(np.count_nonzero(mask)),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
    }


def to_json(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], info: DatasetInfo
) -> bytes:
    """The JSON file of a split."""
    categories = [
        {
            "id": category.category_id,
            "name": category.name,
            "isthing": int(category.is_thing),
            "color": list(category.color),
        }
        for category in info.categories
    ]
    fields = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(fields).encode()
