"""Cityscapes: train ids for semantic, and COCO's form for panoptic segmentation."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.data.images import decode_label_map, read_bytes
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.prepare.output import (
    convert_all,
    encode_image,
    list_pngs,
    new_paths,
    save_bytes,
    save_png,
)
from maskformer_jax.data.prepare.panoptic_files import describe_segment, to_json
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError

_SPLITS = ("train", "val")
_IDS, _INSTANCES = "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"
_VOID = 255
_PER_CLASS = 1000  # an instance's id is 1000 times its class plus a number


def prepare_cityscapes(root: Path) -> None:
    """Writes gtFine/<split>/**/*_labelTrainIds.png and gtFine/cityscapes_panoptic_<split>.

    Label maps that are there already are left as they are; panoptic files too, both or none.

    Args:
        root: with leftImg8bit and gtFine as distributed.

    Raises:
        UserError: a file is missing or damaged, or writing fails.
    """
    for split in _SPLITS:
        _write_train_ids(root / "gtFine" / split)
        target = root / "gtFine" / f"cityscapes_panoptic_{split}"
        listing = target.with_suffix(".json")
        if not (target.is_dir() and listing.is_file()):
            with new_paths(target, listing) as [maps, staged]:
                _write_panoptic(root / "gtFine" / split, maps, staged)


def _write_train_ids(folder: Path) -> None:
    table = np.full(256, _VOID, np.uint8)
    for label, category in enumerate(load_dataset_info("cityscapes-19").categories):
        table[category.category_id] = label

    def convert(path: Path) -> None:
        """Writes the training labels beside a map of label ids, unless they are there."""
        target = path.with_name(path.name.replace(_IDS, _TRAIN_IDS))
        if not target.is_file():
            stored = decode_label_map(read_bytes(path), name=str(path))
            write_atomically(target, encode_image(table[stored.astype(np.uint8)], "PNG"))

    convert_all(_list(folder, _IDS), convert, description=f"cityscapes train ids {folder.name}")


def _write_panoptic(folder: Path, maps: Path, listing: Path) -> None:
    info = load_dataset_info("cityscapes-19")

    def convert(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Writes the id map of an image and describes it as COCO's JSON files do."""
        stored = decode_label_map(read_bytes(path), name=str(path))
        id_map, segments = split_instances(stored)
        image_id = path.name.removesuffix(_INSTANCES)
        file_name = f"{image_id}_gtFine_panoptic.png"
        save_png(maps / file_name, encode_ids(id_map))
        height, width = stored.shape
        image = {
            "id": image_id,
            "file_name": f"{image_id}_leftImg8bit.png",
            "height": height,
            "width": width,
        }
        return image, {"image_id": image_id, "file_name": file_name, "segments_info": segments}

    paths = _list(folder, _INSTANCES)
    entries = convert_all(paths, convert, description=f"cityscapes panoptic {folder.name}")
    images, annotations = (list(column) for column in zip(*entries, strict=True))
    save_bytes(listing, to_json(images, annotations, info))


def split_instances(
    stored: Integer[np.ndarray, "h w"],
) -> tuple[Int32[np.ndarray, "h w"], list[dict[str, Any]]]:
    """The segments of an instanceIds picture, under the ids that it has.

    Values below 1000 are classes: one segment of stuff, or a crowd of things that nobody told
    apart. Classes that are not evaluated are void.
    """
    things = {x.category_id: x.is_thing for x in load_dataset_info("cityscapes-19").categories}
    id_map = np.zeros(stored.shape, np.int32)
    segments = []
    for value in np.unique(stored).tolist():
        category = value if value < _PER_CLASS else value // _PER_CLASS
        if category in things:
            mask = stored == value
            id_map[mask] = value
            is_crowd = things[category] and value < _PER_CLASS
            segments.append(describe_segment(value, category, mask, is_crowd=is_crowd))
    return id_map, segments


def _list(folder: Path, end: str) -> list[Path]:
    paths = [path for path in list_pngs(folder) if path.name.endswith(end)]
    if not paths:
        raise UserError(f"{folder}: no files *{end}; gtFine as distributed has them")
    return paths
