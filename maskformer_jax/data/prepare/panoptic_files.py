"""Panoptic annotations in COCO's format: id maps as PNG, and a JSON file of their segments."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.panoptic import encode_ids, segment_box
from maskformer_jax.data.prepare.output import convert_all, save_bytes, save_png


class AnnotatedImage(NamedTuple):
    """The panoptic annotation of one image."""

    image_id: str
    image_file: str
    map_file: str  # of the id map
    id_map: Any  # int32 [h, w], 0 void
    segments: list[dict[str, Any]]  # segments_info


def write_panoptic(
    paths: Sequence[Path],
    annotate: Callable[[Path], AnnotatedImage],
    *,
    maps: Path,
    listing: Path,
    info: DatasetInfo,
    description: str,
) -> None:
    """Write the panoptic annotation of a split.

    Args:
        paths: one file for each image.
        annotate: reads such a file and returns the annotation of the image.
        maps: the folder of the id maps.
        listing: the JSON file.
        info: the data set.
        description: of the progress bar.
    """

    def convert(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Write the id map of an image; return its entries in `images` and `annotations`."""
        image_id, image_file, map_file, id_map, segments = annotate(path)
        save_png(maps / map_file, encode_ids(id_map))
        height, width = id_map.shape
        return (
            {"id": image_id, "file_name": image_file, "height": height, "width": width},
            {"image_id": image_id, "file_name": map_file, "segments_info": segments},
        )

    entries = convert_all(paths, convert, description=description)
    images, annotations = (list(column) for column in zip(*entries, strict=True))
    save_bytes(listing, _to_json(images, annotations, info))


def describe_segment(
    segment_id: int, category_id: int, mask: Bool[np.ndarray, "h w"], *, is_crowd: bool = False
) -> dict[str, Any]:
    """Return the entry of segments_info for a mask with at least one pixel."""
    top, left, bottom, right = segment_box(mask)
    return {
        "id": segment_id,
        "category_id": category_id,
        "iscrowd": int(is_crowd),
        "area": int(np.count_nonzero(mask)),
        "bbox": [left, top, right - left, bottom - top],
    }


def _to_json(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], info: DatasetInfo
) -> bytes:
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
