"""ADE20K panoptic: stuff from the semantic annotation, things from the instance annotation."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from maskformer_jax.data.ade20k_instances import list_instances
from maskformer_jax.data.folder import check_same_size
from maskformer_jax.data.images import decode_image, decode_label_map, read_bytes
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.prepare.ade20k import SPLITS
from maskformer_jax.data.prepare.output import (
    convert_all,
    list_pngs,
    new_paths,
    save_bytes,
    save_png,
)
from maskformer_jax.data.prepare.panoptic_files import describe_segment, to_json
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError


def prepare_ade20k_panoptic(root: Path) -> None:
    """Writes ade20k_panoptic_{train,val}/NAME.png and ade20k_panoptic_{train,val}.json.

    Args:
        root: ADEChallengeData2016, with images, annotations and annotations_instance.

    Raises:
        UserError: a file is missing or damaged, sizes differ, or writing fails.
    """
    for split, short in zip(SPLITS, ("train", "val"), strict=True):
        name = f"ade20k_panoptic_{short}"
        with new_paths(root / name, root / f"{name}.json") as [maps, listing]:
            _prepare_split(root, split, maps, listing)


def _prepare_split(root: Path, split: str, maps: Path, listing: Path) -> None:
    info = load_dataset_info("ade20k-panoptic")
    folder, instance_folder = root / "annotations" / split, root / "annotations_instance" / split

    def convert(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Writes the id map of an image and describes it as COCO's JSON files do."""
        labels = decode_label_map(read_bytes(path), name=str(path))
        instance_path = instance_folder / path.name
        instances = decode_image(read_bytes(instance_path), name=str(instance_path))
        check_same_size(labels.shape, instances.shape[:2], name=f"{path} and {instance_path}")
        id_map, segments = join_annotations(labels, instances, name=str(path))
        save_png(maps / path.name, encode_ids(id_map))
        height, width = labels.shape
        image = {
            "id": path.stem,
            "file_name": f"{path.stem}.jpg",
            "height": height,
            "width": width,
        }
        entry = {"image_id": path.stem, "file_name": path.name, "segments_info": segments}
        return image, entry

    entries = convert_all(list_pngs(folder), convert, description=f"ade20k-panoptic {split}")
    images, annotations = (list(column) for column in zip(*entries, strict=True))
    save_bytes(listing, to_json(images, annotations, info))


def join_annotations(
    labels: Integer[np.ndarray, "h w"], instances: UInt8[np.ndarray, "h w 3"], *, name: str
) -> tuple[Int32[np.ndarray, "h w"], list[dict[str, Any]]]:
    """One segment for each stuff class and, over them, one for each instance.

    Thing pixels of which no instance is known stay void. Area and box are those of the whole
    segment, also of the part that instances hide, as published.

    Args:
        labels: the semantic annotation, 0 void, 1..150.
        instances: the instance annotation, red the class in 1..100, green the number of the
            instance, 0 for none.
        name: of the file, for messages.
    """
    info = load_dataset_info("ade20k-panoptic")
    id_map = np.zeros(labels.shape, np.int32)
    segments: list[dict[str, Any]] = []

    def paste(mask: np.ndarray, label: int) -> None:
        """Puts a new segment over those before."""
        segments.append(describe_segment(len(segments) + 1, label, mask))
        id_map[mask] = len(segments)

    for value in np.unique(labels).tolist():
        if value > info.num_classes:
            raise UserError(f"{name}: label {value} is outside 0..{info.num_classes}")
        if value and not info.categories[value - 1].is_thing:
            paste(labels == value, value - 1)
    for label, mask in list_instances(instances, info, name=name):
        paste(mask, label)
    return id_map, segments
