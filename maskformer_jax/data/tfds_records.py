"""From TFDS records to examples: those of our builders, and those of TFDS's own that can serve."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.ade20k_instances import list_instances
from maskformer_jax.data.example import Example, Instance, PanopticLabels, PanopticSegment
from maskformer_jax.data.folder import check_same_size
from maskformer_jax.data.images import decode_image, decode_label_map
from maskformer_jax.data.labels import LabelTable
from maskformer_jax.data.panoptic import (
    check_segments,
    decode_ids,
    make_instance,
    to_label_map,
)
from maskformer_jax.errors import UserError

Record = dict[str, Any]

OWN = ("image", "image_id")  # and one or more of the next
OWN_LABELS = ("label_map", "panoptic_map", "instances")
COCO_PANOPTIC = ("image", "image/id", "panoptic_image", "panoptic_objects")
CITYSCAPES = ("image_left", "image_id", "segmentation_label")
SCENE_PARSE = ("image", "annotation")


class OwnReader:
    """Records that `tfds_builders` writes."""

    image_key = "image"

    def __init__(self, info: DatasetInfo) -> None:
        self._table = LabelTable(info)

    def __call__(self, record: Record, name: str) -> Example:
        """One record as an example."""
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
            instances = _read_instances(record["instances"], image.shape)
        return Example(record["image_id"].decode(), image, label_map, panoptic, instances)


class CocoPanopticReader:
    """Records of TFDS's `coco/2017_panoptic`.

    Args:
        names: of the classes, in the order of the records' labels.
        info: the data set.

    Raises:
        UserError: the data set has no class of one of the names.
    """

    image_key = "image"

    def __init__(self, names: Sequence[str], info: DatasetInfo) -> None:
        labels = {category.name: label for label, category in enumerate(info.categories)}
        if unknown := [name for name in names if name not in labels]:
            raise UserError(
                f"the records have the class '{unknown[0]}', which '{info.name}' has not; is "
                "data.dataset another data set?"
            )
        self._labels = [labels[name] for name in names]

    def __call__(self, record: Record, name: str) -> Example:
        """One record as an example."""
        image = decode_image(record["image"], name=f"{name} (image)")
        segments = record["panoptic_objects"]
        segments = {**segments, "label": [self._labels[label] for label in segments["label"]]}
        panoptic = _read_panoptic(record["panoptic_image"], segments, image.shape, name=name)
        image_id = f"{int(record['image/id']):012d}"
        return Example(image_id, image, to_label_map(panoptic), panoptic)


class CityscapesReader:
    """Records of TFDS's `cityscapes`, whose label maps hold the label ids of all 34 classes."""

    image_key = "image_left"

    def __init__(self, info: DatasetInfo) -> None:
        self._labels = np.full(256, -1, np.int32)
        for label, category in enumerate(info.categories):
            self._labels[category.category_id] = label

    def __call__(self, record: Record, name: str) -> Example:
        """One record as an example."""
        image = decode_image(record["image_left"], name=f"{name} (image)")
        stored = decode_label_map(record["segmentation_label"], name=f"{name} (label map)")
        check_same_size(image.shape[:2], stored.shape, name=name)
        return Example(record["image_id"].decode(), image, self._labels[stored])


class SceneParseReader:
    """Records of TFDS's `scene_parse150`, which hold the instances of ADE20K and no names."""

    image_key = "image"

    def __init__(self, info: DatasetInfo) -> None:
        self._info = info

    def __call__(self, record: Record, name: str) -> Example:
        """One record as an example."""
        image = decode_image(record["image"], name=f"{name} (image)")
        colors = decode_image(record["annotation"], name=f"{name} (instances)")
        check_same_size(image.shape[:2], colors.shape[:2], name=name)
        instances = tuple(
            make_instance(mask, label, is_crowd=False, area=int(mask.sum()))
            for label, mask in list_instances(colors, self._info, name=name)
        )
        return Example(record["tfds_id"], image, instances=instances)


def _read_panoptic(
    data: bytes, segments: dict[str, Any], image_shape: tuple[int, ...], *, name: str
) -> PanopticLabels:
    id_map = decode_ids(decode_image(data, name=f"{name} (panoptic map)"))
    check_same_size(image_shape[:2], id_map.shape, name=name)
    columns = (segments[key] for key in ("id", "label", "is_crowd", "area"))
    listed = tuple(
        PanopticSegment(int(number), int(label), bool(is_crowd), int(area))
        for number, label, is_crowd, area in zip(*columns, strict=True)
    )
    panoptic = PanopticLabels(id_map, listed)
    check_segments(panoptic, name=name, may_hide=True)
    return panoptic


def _read_instances(
    instances: dict[str, Any], image_shape: tuple[int, ...]
) -> tuple[Instance, ...]:
    size = list(image_shape[:2])
    columns = (instances[key] for key in ("label", "is_crowd", "area", "bbox", "counts"))
    return tuple(
        Instance(
            label=int(label),
            is_crowd=bool(is_crowd),
            area=float(area),
            bbox=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            rle={"size": size, "counts": bytes(counts)},
        )
        for label, is_crowd, area, box, counts in zip(*columns, strict=True)
    )
