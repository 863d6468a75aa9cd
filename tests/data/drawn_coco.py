"""Drawn scenes with annotations in the JSON formats of COCO."""

from pathlib import Path

import numpy as np
from data.drawn_scenes import draw_scene, save, write_json

from maskformer_jax.data.panoptic import encode_ids


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
    """Write a split in which blocks 0..2 are segments and block 3 is void.

    Some ids are large, so that all three colour channels are used. With `crowd` the second
    segment is crowd.
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
    """Write a polygon, overlapping run lengths, compressed run lengths, and a crowd."""
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
    """Encode a mask as COCO's uncompressed run lengths: column by column, zeros first."""
    values = np.concatenate([[0], mask.ravel(order="F"), [2]])
    starts = np.flatnonzero(np.diff(values.astype(int)))
    return np.diff(np.concatenate([[0], starts])).tolist()
