"""TFDS records to examples: those of our builders and of three of TFDS's own."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.ade20k_instances import split_instances
from maskformer_jax.data.example import Example, Instance, PanopticLabels, PanopticSegment
from maskformer_jax.data.images import check_same_size, decode_image, decode_label_map
from maskformer_jax.data.labels import LabelTable, lookup_table
from maskformer_jax.data.panoptic import check_segments, decode_id_map, make_instance, to_label_map
from maskformer_jax.data.run_lengths import check_run_lengths
from maskformer_jax.errors import UserError
from maskformer_jax.types import VOID

Record = dict[str, Any]

SOURCE_ID = "source_id"  # JSON of `Example.source_id`
OUR_FEATURES = ("image", "image_id")  # and at least one annotation
OUR_ANNOTATIONS = ("label_map", "panoptic_map", "instances")
COCO_PANOPTIC = ("image", "image/id", "panoptic_image", "panoptic_objects")
CITYSCAPES = ("image_left", "image_id", "segmentation_label")
SCENE_PARSE = ("image", "annotation")


def builder_name(info: DatasetInfo) -> str:
    """The name of a data set in TFDS, which is also that of a folder."""
    return re.sub(r"[^0-9a-zA-Z_]", "_", info.name)


class OurReader:
    """Reads records that `tfds_builders` writes."""

    image_key = "image"

    def __init__(self, info: DatasetInfo) -> None:
        self._table = LabelTable(info)

    def __call__(self, record: Record, name: str) -> Example:
        """Decode one record."""
        image = decode_image(record["image"], name=f"{name} (image)")
        label_map = panoptic = instances = None
        if "panoptic_map" in record:
            panoptic = _read_panoptic(
                record["panoptic_map"], record["segments"], image.shape, name=name
            )
            label_map = to_label_map(panoptic)
        elif "label_map" in record:
            stored = decode_label_map(record["label_map"], name=f"{name} (label map)")
            check_same_size(image.shape[:2], stored.shape, name=name)
            label_map = self._table.translate(stored, name=f"{name} (label map)")
        if "instances" in record:
            instances = _read_instances(record["instances"], image.shape, name=name)
        image_id, source_id = record["image_id"].decode(), _read_source_id(record)
        return Example(image_id, image, label_map, panoptic, instances, source_id)


class CocoPanopticReader:
    """Reads records of TFDS's `coco/2017_panoptic`.

    Args:
        names: of the classes, in the order of the records' labels.
        info: the data set.

    Raises:
        UserError: the data set lacks one of the classes.
    """

    image_key = "image"

    def __init__(self, names: Sequence[str], info: DatasetInfo) -> None:
        labels = {category.name: label for label, category in enumerate(info.categories)}
        if unknown := [name for name in names if name not in labels]:
            raise UserError(
                f"the records have a class '{unknown[0]}', which is not in '{info.name}'; is "
                "config.data.dataset another data set?"
            )
        self._labels = [labels[name] for name in names]

    def __call__(self, record: Record, name: str) -> Example:
        """Decode one record."""
        image = decode_image(record["image"], name=f"{name} (image)")
        segments = record["panoptic_objects"]
        segments = {**segments, "label": [self._labels[label] for label in segments["label"]]}
        panoptic = _read_panoptic(record["panoptic_image"], segments, image.shape, name=name)
        image_id = f"{int(record['image/id']):012d}"
        source_id = int(record["image/id"])
        return Example(image_id, image, to_label_map(panoptic), panoptic, source_id=source_id)


class CityscapesReader:
    """Reads records of TFDS's `cityscapes`, whose label maps hold the ids of all 34 classes."""

    image_key = "image_left"

    def __init__(self, info: DatasetInfo) -> None:
        ids = [category.category_id for category in info.categories]
        self._labels = lookup_table(ids, size=256, default=VOID, dtype=np.int32)

    def __call__(self, record: Record, name: str) -> Example:
        """Decode one record."""
        image = decode_image(record["image_left"], name=f"{name} (image)")
        stored = decode_label_map(record["segmentation_label"], name=f"{name} (label map)")
        check_same_size(image.shape[:2], stored.shape, name=name)
        return Example(record["image_id"].decode(), image, self._labels[stored])


class SceneParseReader:
    """Reads records of TFDS's `scene_parse150`: the instances of ADE20K, without image names."""

    image_key = "image"

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info

    def __call__(self, record: Record, name: str) -> Example:
        """Decode one record."""
        image = decode_image(record["image"], name=f"{name} (image)")
        colors = decode_image(record["annotation"], name=f"{name} (instances)")
        check_same_size(image.shape[:2], colors.shape[:2], name=name)
        instances = tuple(
            make_instance(mask, label, is_crowd=False, area=int(mask.sum()))
            for label, mask in split_instances(colors, self._info, name=name)
        )
        return Example(record["tfds_id"], image, instances=instances)


def _read_panoptic(
    data: bytes, segments: dict[str, Any], image_shape: tuple[int, ...], *, name: str
) -> PanopticLabels:
    id_map = decode_id_map(data, name=f"{name} (panoptic map)")
    check_same_size(image_shape[:2], id_map.shape, name=name)
    columns = (segments[key] for key in ("id", "label", "is_crowd", "area"))
    listed = tuple(
        PanopticSegment(int(number), int(label), bool(is_crowd), int(area))
        for number, label, is_crowd, area in zip(*columns, strict=True)
    )
    panoptic = PanopticLabels(id_map, listed)
    check_segments(panoptic, name=name, allow_hidden=True)
    return panoptic


def _read_instances(
    instances: dict[str, Any], image_shape: tuple[int, ...], *, name: str
) -> tuple[Instance, ...]:
    size = list(image_shape[:2])
    columns = (instances[key] for key in ("label", "is_crowd", "area", "bbox", "counts"))
    found = tuple(
        Instance(
            label=int(label),
            is_crowd=bool(is_crowd),
            area=float(area),
            bbox=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            rle={"size": size, "counts": bytes(counts)},
        )
        for label, is_crowd, area, box, counts in zip(*columns, strict=True)
    )
    for number, instance in enumerate(found):
        try:
            check_run_lengths(instance.rle)
        except ValueError as error:
            raise UserError(f"{name}: the mask of instance {number} is damaged: {error}") from error
    return found


def _read_source_id(record: Record) -> int | str | None:
    """The id in the original JSON file; older records of ours lack it."""
    if SOURCE_ID not in record:
        return None
    source_id: int | str = json.loads(record[SOURCE_ID])
    return source_id
