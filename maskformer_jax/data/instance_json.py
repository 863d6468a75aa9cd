"""Instance data sets in COCO's format: a JSON file of annotations and a folder of images.

The layouts of COCO and of the tools that export it are tried in turn (`ANNOTATIONS`, `_IMAGES`).
"""

from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.coco_json import (
    ListedImage,
    check_listed_size,
    labels_by_category_id,
    list_images,
    wrong_format,
)
from maskformer_jax.data.coco_masks import is_empty
from maskformer_jax.data.coco_masks import to_rle as _to_rle
from maskformer_jax.data.example import Example, Instance
from maskformer_jax.data.images import decode_image, read_image_size
from maskformer_jax.data.location import check_root, missing_data, read_file
from maskformer_jax.data.orientation import require_clear_orientation
from maskformer_jax.data.run_lengths import bounding_box, mask_area
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_json
from maskformer_jax.types import Size

ANNOTATIONS = (  # paths below the root, with {split}
    "annotations/instances_{split}.json",  # COCO, CVAT (with the split "default")
    "{split}/_annotations.coco.json",  # Roboflow
    "{split}/_annotations.coco-segmentation.json",
    "{split}/annotations.json",  # LabelMe's converters
    "annotations/{split}.json",
    "{split}.json",  # Label Studio (with the split "result")
)
_IMAGES = ("{split}", "images/{split}", "images", "")  # folders that file names may be relative to


class _Entry(NamedTuple):
    """One image; its masks are decoded on access."""

    image: ListedImage
    annotations: list[dict[str, Any]]


class CocoInstanceSource:
    """The examples of one split, in the order of the JSON file's images.

    Masks may be polygons, run lengths or compressed run lengths; areas and boxes that are missing
    are those of the masks. Images without annotations belong to the data set. Annotations without
    a mask are left out, and `notes` counts them.

    Args:
        root: the data set's folder, `config.data.root`.
        split: such as "train2017".
        info: the data set; its category ids are those of the JSON file.
        trust_exif: see `data.trust_exif`.

    Raises:
        UserError: the split is missing, or the JSON file is damaged, empty or of another data
            set. On access: the image is missing, damaged or not of the stated size, or a mask is
            malformed.
    """

    def __init__(
        self, root: Path, split: str, info: DatasetInfo, *, trust_exif: bool = True
    ) -> None:
        path = _find_annotations(root, split)
        self._root, self._path, self._trust_exif = root, str(path), trust_exif
        self._labels, self._entries, self.notes = _read_entries(path, info)
        self._folders = [root / folder.format(split=split) for folder in _IMAGES]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Example:
        listed, annotations = self._entries[index]
        path = self._image_path(index)
        data = read_file(path, self._root)
        image = decode_image(data, name=str(path))
        check_listed_size(image.shape, listed.size, image=path, listing=self._path)
        if not self._trust_exif:
            require_clear_orientation(data, name=str(path))
        size = image.shape[:2]
        instances = tuple(self._read_instance(x, listed, size) for x in annotations)
        return Example(listed.name, image, instances=instances, source_id=listed.source_id)

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image from the JSON file, else from its header."""
        path = self._image_path(index)
        return self._entries[index].image.size or read_image_size(path, name=str(path))

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        return read_file(self._image_path(index), self._root)

    def _image_path(self, index: int) -> Path:
        """The first of the folders that has the image."""
        paths = [folder / self._entries[index].image.file_name for folder in self._folders]
        return next((path for path in paths if path.is_file()), paths[0])

    def _read_instance(
        self, annotation: dict[str, Any], image: ListedImage, size: Size
    ) -> Instance:
        try:
            rle = _to_rle(annotation["segmentation"], size)
        except Exception as error:  # pycocotools raises bare exceptions
            raise UserError(
                f"{self._path}: the mask of annotation {annotation.get('id')} of image "
                f"{image.name} cannot be used: {error}"
            ) from error
        area, bbox = annotation.get("area"), annotation.get("bbox")
        return Instance(
            label=self._labels[annotation["category_id"]],
            is_crowd=bool(annotation.get("iscrowd") or 0),
            area=float(mask_area(rle) if area is None else area),
            bbox=_read_box(bbox) if bbox else bounding_box(rle),
            rle=rle,
        )


def _read_box(values: Any) -> tuple[float, float, float, float]:
    left, top, width, height = (float(value) for value in values)
    return left, top, width, height


def _find_annotations(root: Path, split: str) -> Path:
    check_root(root)
    for annotations in ANNOTATIONS:
        path = root / annotations.format(split=split)
        if path.is_file():
            return path
    looked = ", ".join(annotations.format(split=split) for annotations in ANNOTATIONS)
    first = root / ANNOTATIONS[0].format(split=split)
    raise missing_data(root, f"there is no file {first}; looked for {looked}")


def _read_entries(
    path: Path, info: DatasetInfo
) -> tuple[dict[int, int], list[_Entry], tuple[str, ...]]:
    """The labels by category id, the images with their annotations, and what was left out."""
    fields = read_json(path)
    left_out: list[Any] = []
    try:
        images = list_images(fields, path)
        labels = labels_by_category_id(fields, info, path)
        annotations: dict[Any, list[dict[str, Any]]] = {image_id: [] for image_id in images}
        for annotation in fields["annotations"]:
            image_id, category = annotation["image_id"], annotation["category_id"]
            where = f"{path}: annotation {annotation.get('id')}"
            if image_id not in images:
                raise UserError(f"{where} is of image {image_id!r}, which `images` does not list")
            if category not in labels:
                raise UserError(
                    f"{where} has category {category}, which the data set does not have"
                )
            if not info.categories[labels[category]].is_thing:
                raise UserError(
                    f"{where} is an instance of '{info.categories[labels[category]].name}', which "
                    f"is stuff in '{info.name}'; set its \"is_thing\""
                )
            _check_numbers(annotation)  # an error here, not in the middle of training
            if is_empty(annotation.get("segmentation")):
                left_out.append(annotation.get("id"))
            else:
                annotations[image_id].append(annotation)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise wrong_format(path, "an instance", error) from error
    if not images:
        raise UserError(f"{path}: lists no images; nothing to read")
    entries = [_Entry(images[image_id], kept) for image_id, kept in annotations.items()]
    return labels, entries, _describe_left_out(left_out, len(fields["annotations"]), path)


def _check_numbers(annotation: dict[str, Any]) -> None:
    bbox, area = annotation.get("bbox"), annotation.get("area")
    if bbox:
        _read_box(bbox)
    if area is not None:
        float(area)


def _describe_left_out(ids: list[Any], total: int, path: Path) -> tuple[str, ...]:
    if not ids:
        return ()
    if len(ids) == total:
        raise UserError(
            f"{path}: none of the {total} annotations has a mask, only boxes; export the masks "
            "(segmentation) too"
        )
    return (
        f"{path}: {len(ids)} of {total} annotations have no mask (no segmentation, or fewer than "
        f"three points) and are left out, first annotation {ids[0]}",
    )
