"""Draws small data sets in the layouts in which they come, with the annotation known."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from maskformer_jax.data.panoptic import encode_ids

SIZES = ((24, 32), (32, 24), (24, 40))  # of the images of a split


class Scene(NamedTuple):
    image: np.ndarray  # uint8 [h, w, 3]
    blocks: np.ndarray  # int [h, w], 0..3: quarters; the last one is void or nobody's


def draw_scene(number: int) -> Scene:
    """Four rectangles of one grey each."""
    height, width = SIZES[number % len(SIZES)]
    rows = (np.arange(height) >= height // 2).astype(int)[:, None]
    columns = (np.arange(width) >= width // 3).astype(int)[None]
    blocks = 2 * rows + columns
    image = np.repeat((60 * blocks + 10 + number).astype(np.uint8)[..., None], 3, axis=2)
    return Scene(image, blocks)


def save(path: Path, array: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def write_json(path: Path, fields: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))


def write_coco_panoptic(
    root: Path,
    split: str,
    *,
    number: int = 3,
    categories: tuple[int, ...] = (1, 1, 92),
    annotations: str = "annotations/panoptic_{split}",
    images: str = "{split}",
    crowd: bool = False,
) -> None:
    """The first two blocks and the third are segments, the last is void.

    The ids are large, so that all three colour channels are needed. With `crowd` the second
    segment is one.
    """
    listed, annotated = [], []
    for index in range(number):
        scene = draw_scene(index)
        height, width = scene.blocks.shape
        ids = np.array([70_001 + index, 300, 9, 0], np.int32)
        id_map = ids[scene.blocks]
        name = f"{index + 1:012d}"
        save(root / images.format(split=split) / f"{name}.jpg", scene.image, quality=95)
        save(root / annotations.format(split=split) / f"{name}.png", encode_ids(id_map))
        listed.append(
            {"id": index + 1, "file_name": f"{name}.jpg", "height": height, "width": width}
        )
        annotated.append(
            {
                "image_id": index + 1,
                "file_name": f"{name}.png",
                "segments_info": [
                    {
                        "id": int(ids[block]),
                        "category_id": category,
                        "iscrowd": int(crowd and block == 1),
                        "area": int((scene.blocks == block).sum()),
                        "bbox": [0, 0, 1, 1],
                    }
                    for block, category in enumerate(categories)
                ],
            }
        )
    fields = {
        "images": listed,
        "annotations": annotated,
        "categories": [
            {"id": value, "name": f"class {value}"} for value in sorted(set(categories))
        ],
    }
    write_json(root / f"{annotations.format(split=split)}.json", fields)


def write_coco_instances(root: Path, split: str, *, number: int = 3) -> None:
    """A polygon, run lengths that overlap it, compressed run lengths, and a crowd."""
    from pycocotools import mask as coco_mask

    listed, annotated = [], []
    for index in range(number):
        scene = draw_scene(index)
        height, width = scene.blocks.shape
        name = f"{index + 1:012d}.jpg"
        save(root / split / name, scene.image, quality=95)
        listed.append({"id": index + 1, "file_name": name, "height": height, "width": width})
        middle = np.zeros((height, width), np.uint8, order="F")
        middle[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
        left = np.asfortranarray(scene.blocks % 2 == 0).view(np.uint8)
        compressed = coco_mask.encode(left)
        polygon = [[0, 0, width / 2, 0, width / 2, height / 2, 0, height / 2]]
        masks = (
            (1, 0, polygon),
            (90, 0, {"size": [height, width], "counts": run_lengths(middle)}),
            (18, 0, {"size": [height, width], "counts": compressed["counts"].decode()}),
            (1, 1, {"size": [height, width], "counts": run_lengths(left)}),
        )
        for category, is_crowd, segmentation in masks:
            annotated.append(
                {
                    "id": len(annotated) + 1,
                    "image_id": index + 1,
                    "category_id": category,
                    "iscrowd": is_crowd,
                    "area": 12.5,
                    "bbox": [0, 0.5, width / 2, height / 2],
                    "segmentation": segmentation,
                }
            )
    fields = {
        "images": listed,
        "annotations": annotated,
        "categories": [{"id": value, "name": "x"} for value in (1, 18, 90)],
    }
    write_json(root / "annotations" / f"instances_{split}.json", fields)


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: down the columns, beginning with zeros."""
    values = np.concatenate([[0], mask.ravel(order="F"), [2]])
    starts = np.flatnonzero(np.diff(values.astype(int)))
    return np.diff(np.concatenate([[0], starts])).tolist()


def write_penn_fudan(root: Path, *, number: int = 6, original: bool = False) -> None:
    """Blocks 1 and 2 are people."""
    for index in range(number):
        scene = draw_scene(index)
        people = np.array([0, 1, 2, 0], np.uint8)[scene.blocks]
        if original:
            save(root / "PNGImages" / f"P{index}.png", scene.image)
            save(root / "PedMasks" / f"P{index}_mask.png", people)
        else:
            save(root / "images" / f"P{index}.jpg", scene.image, quality=95)
            save(root / "masks" / f"P{index}.png", people)
