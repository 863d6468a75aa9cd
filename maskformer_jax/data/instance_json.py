"""Instance data sets in COCO's format: annotations/instances_<split>.json and <split>/*.jpg."""

from pathlib import Path
from typing import Any, NamedTuple

from pycocotools import mask as coco_mask

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.coco_json import (
    check_listed_size,
    image_name,
    labels_by_category_id,
    listed_size,
    read_json,
    wrong_format,
)
from maskformer_jax.data.example import Example, Instance
from maskformer_jax.data.images import decode_image
from maskformer_jax.data.location import check_root, missing_data, read_file
from maskformer_jax.data.run_lengths import RunLengths
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size


class _Entry(NamedTuple):
    """One image; its masks are decoded on access."""

    image_id: str
    file: str
    size: Size
    annotations: list[dict[str, Any]]


class CocoInstanceSource:
    """The examples of one split, in the order of the JSON file's images.

    Masks may be polygons, run lengths or compressed run lengths. Images without annotations
    belong to the data set.

    Args:
        root: the data set's folder, `config.data.root`.
        split: such as "train2017".
        info: the data set; its category ids are those of the JSON file.

    Raises:
        UserError: the split is missing, or the JSON file is damaged, empty or of another data
            set. On access: the image is missing, damaged or not of the stated size, or a mask is
            malformed.
    """

    def __init__(self, root: Path, split: str, info: DatasetInfo) -> None:
        path = root / "annotations" / f"instances_{split}.json"
        check_root(root)
        if not path.is_file():
            raise missing_data(root, f"there is no file {path}")
        self._root, self._path = root, str(path)
        self._images = root / split
        self._labels, self._entries = _read_entries(path, info)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Example:
        entry = self._entries[index]
        path = self._images / entry.file
        image = decode_image(read_file(path, self._root), name=str(path))
        check_listed_size(image.shape, entry.size, image=path, listing=self._path)
        instances = tuple(self._read_instance(x, entry) for x in entry.annotations)
        return Example(entry.image_id, image, instances=instances)

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image that the JSON file states."""
        return self._entries[index].size

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        return read_file(self._images / self._entries[index].file, self._root)

    def _read_instance(self, annotation: dict[str, Any], entry: _Entry) -> Instance:
        left, top, width, height = (float(value) for value in annotation["bbox"])
        try:
            rle = _to_rle(annotation["segmentation"], entry.size)
        except Exception as error:  # pycocotools raises bare exceptions
            raise UserError(
                f"{self._path}: the mask of annotation {annotation.get('id')} of image "
                f"{entry.image_id} is neither polygons nor run lengths ({error})"
            ) from error
        return Instance(
            label=self._labels[annotation["category_id"]],
            is_crowd=bool(annotation.get("iscrowd", 0)),
            area=float(annotation["area"]),
            bbox=(left, top, width, height),
            rle=rle,
        )


def _to_rle(segmentation: Any, size: Size) -> RunLengths:
    height, width = size
    if isinstance(segmentation, list):
        if not segmentation:
            raise ValueError("no polygons")
        return dict(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
    if tuple(segmentation["size"]) != size:
        raise ValueError(f"its size is {segmentation['size']}, the image's {list(size)}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        return dict(coco_mask.frPyObjects(segmentation, height, width))
    return {
        "size": [height, width],
        "counts": counts.encode() if isinstance(counts, str) else counts,
    }


def _read_entries(path: Path, info: DatasetInfo) -> tuple[dict[int, int], list[_Entry]]:
    fields = read_json(path)
    try:
        labels = labels_by_category_id(fields, info, path)
        entries = {
            image["id"]: _Entry(
                image_id=image_name(image["id"], image["file_name"]),
                file=image["file_name"],
                size=listed_size(image),
                annotations=[],
            )
            for image in fields["images"]
        }
        for annotation in fields["annotations"]:
            image_id, category = annotation["image_id"], annotation["category_id"]
            where = f"{path}: annotation {annotation.get('id')}"
            if image_id not in entries:
                raise UserError(f"{where} is of image {image_id}, which `images` does not list")
            if category not in labels:
                raise UserError(
                    f"{where} has category {category}, which the data set does not have"
                )
            for required in ("area", "bbox", "segmentation"):
                annotation[required]  # a KeyError here, not in the middle of training
            entries[image_id].annotations.append(annotation)
    except (KeyError, TypeError, AttributeError) as error:
        raise wrong_format(path, "an instance", error) from error
    if not entries:
        raise UserError(f"{path}: lists no images; nothing to read")
    return labels, list(entries.values())
