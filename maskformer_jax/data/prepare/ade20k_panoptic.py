"""ADE20K panoptic: stuff from the semantic annotation, things from the instance annotation."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from maskformer_jax.data.ade20k_instances import split_instances
from maskformer_jax.data.images import (
    check_same_size,
    decode_image,
    decode_label_map,
    read_bytes,
)
from maskformer_jax.data.prepare.ade20k import SPLITS
from maskformer_jax.data.prepare.output import list_pngs, new_paths
from maskformer_jax.data.prepare.panoptic_files import (
    AnnotatedImage,
    describe_segment,
    write_panoptic,
)
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError


def prepare_ade20k_panoptic(root: Path) -> None:
    """Write ade20k_panoptic_{train,val}/NAME.png and ade20k_panoptic_{train,val}.json.

    Args:
        root: ADEChallengeData2016, with images, annotations and annotations_instance.

    Raises:
        UserError: a file is missing or damaged, sizes differ, or writing fails.
    """
    for split, short in zip(SPLITS, ("train", "val"), strict=True):
        name = f"ade20k_panoptic_{short}"
        with new_paths(root / name, root / f"{name}.json") as [maps, listing]:
            write_panoptic(
                list_pngs(root / "annotations" / split),
                partial(_annotate, root / "annotations_instance" / split),
                maps=maps,
                listing=listing,
                info=load_dataset_info("ade20k-panoptic"),
                description=f"ade20k-panoptic {split}",
            )


def _annotate(instance_folder: Path, path: Path) -> AnnotatedImage:
    labels = decode_label_map(read_bytes(path), name=str(path))
    instance_path = instance_folder / path.name
    instances = decode_image(read_bytes(instance_path), name=str(instance_path))
    check_same_size(labels.shape, instances.shape[:2], name=f"{path} and {instance_path}")
    id_map, segments = merge_annotations(labels, instances, name=str(path))
    return AnnotatedImage(path.stem, f"{path.stem}.jpg", path.name, id_map, segments)


def merge_annotations(
    labels: Integer[np.ndarray, "h w"], instances: UInt8[np.ndarray, "h w 3"], *, name: str
) -> tuple[Int32[np.ndarray, "h w"], list[dict[str, Any]]]:
    """Make one segment for each stuff class and paste the instances over them.

    Thing pixels without an instance stay void. As published, area and box of a segment include what
    later instances hide.

    Args:
        labels: the semantic annotation: 1..150, 0 void.
        instances: the instance annotation: class in 1..100 in red, number of the instance in green,
            0 for none.
        name: of the file, for messages.

    Returns:
        Segment ids and the entries of segments_info.
    """
    info = load_dataset_info("ade20k-panoptic")
    id_map = np.zeros(labels.shape, np.int32)
    segments: list[dict[str, Any]] = []

    def paste(mask: np.ndarray, label: int) -> None:
        """Paste a new segment over the earlier ones."""
        segments.append(describe_segment(len(segments) + 1, label, mask))
        id_map[mask] = len(segments)

    for value in np.unique(labels).tolist():
        if value > info.num_classes:
            raise UserError(f"{name}: label {value} is outside 0..{info.num_classes}")
        if value and not info.categories[value - 1].is_thing:
            paste(labels == value, value - 1)
    for label, mask in split_instances(instances, info, name=name):
        paste(mask, label)
    return id_map, segments
