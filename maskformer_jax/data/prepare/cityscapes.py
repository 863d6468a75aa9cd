"""Cityscapes: train ids for semantic, and COCO's format for panoptic segmentation."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.data.images import decode_label_map, read_bytes
from maskformer_jax.data.labels import category_id_table
from maskformer_jax.data.prepare.output import convert_all, list_pngs, new_paths
from maskformer_jax.data.prepare.panoptic_files import (
    AnnotatedImage,
    describe_segment,
    write_panoptic,
)
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.image_files import encode_image

_SPLITS = ("train", "val")
_IDS, _INSTANCES = "_gtFine_labelIds.png", "_gtFine_instanceIds.png"
_TRAIN_IDS = "_gtFine_labelTrainIds.png"
_IDS_PER_CLASS = 1000  # an instance's id is 1000 times its class plus its number


def prepare_cityscapes(root: Path) -> None:
    """Write gtFine/<split>/**/*_labelTrainIds.png and gtFine/cityscapes_panoptic_<split>.

    Existing label maps are kept; so are existing panoptic files where both PNGs and JSON exist.

    Args:
        root: the folder with leftImg8bit and gtFine as distributed.

    Raises:
        UserError: a file is missing or damaged, or writing fails.
    """
    for split in _SPLITS:
        _write_train_ids(root / "gtFine" / split)
        target = root / "gtFine" / f"cityscapes_panoptic_{split}"
        listing = target.with_suffix(".json")
        if not (target.is_dir() and listing.is_file()):
            with new_paths(target, listing) as [maps, staged]:
                write_panoptic(
                    _list(root / "gtFine" / split, _INSTANCES),
                    _annotate,
                    maps=maps,
                    listing=staged,
                    info=load_dataset_info("cityscapes-19"),
                    description=f"cityscapes panoptic {split}",
                )


def _write_train_ids(folder: Path) -> None:
    table = category_id_table(load_dataset_info("cityscapes-19"), dtype=np.uint8)

    def convert(path: Path) -> None:
        """Write the train ids beside a map of label ids, unless they exist."""
        target = path.with_name(path.name.replace(_IDS, _TRAIN_IDS))
        if not target.is_file():
            stored = decode_label_map(read_bytes(path), name=str(path))
            write_atomically(target, encode_image(table[stored.astype(np.uint8)]))

    convert_all(_list(folder, _IDS), convert, description=f"cityscapes train ids {folder.name}")


def _annotate(path: Path) -> AnnotatedImage:
    stored = decode_label_map(read_bytes(path), name=str(path))
    id_map, segments = segment_instance_ids(stored)
    image_id = path.name.removesuffix(_INSTANCES)
    image_file, map_file = f"{image_id}_leftImg8bit.png", f"{image_id}_gtFine_panoptic.png"
    return AnnotatedImage(image_id, image_file, map_file, id_map, segments)


def segment_instance_ids(
    stored: Integer[np.ndarray, "h w"],
) -> tuple[Int32[np.ndarray, "h w"], list[dict[str, Any]]]:
    """Return the segment ids and the segments_info of an instanceIds map, keeping its ids.

    Values below 1000 are classes: a segment of stuff, or a crowd of things. Classes that are not
    evaluated become void.
    """
    things = {x.category_id: x.is_thing for x in load_dataset_info("cityscapes-19").categories}
    id_map = np.zeros(stored.shape, np.int32)
    segments = []
    for value in np.unique(stored).tolist():
        category = value if value < _IDS_PER_CLASS else value // _IDS_PER_CLASS
        if category in things:
            mask = stored == value
            id_map[mask] = value
            is_crowd = things[category] and value < _IDS_PER_CLASS
            segments.append(describe_segment(value, category, mask, is_crowd=is_crowd))
    return id_map, segments


def _list(folder: Path, ending: str) -> list[Path]:
    paths = [path for path in list_pngs(folder) if path.name.endswith(ending)]
    if not paths:
        raise UserError(f"{folder}: no files *{ending}; --root must hold gtFine as distributed")
    return paths
