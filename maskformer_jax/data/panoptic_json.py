"""Panoptic data sets in COCO's form: a JSON file of segments and a folder of RGB PNGs.

Where the files of a split lie is found out: as COCO, ADE20K, Cityscapes and Mapillary Vistas have
them (see `_LAYOUTS`).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Size
from maskformer_jax.data.example import Example, PanopticLabels, PanopticSegment
from maskformer_jax.data.folder import check_same_size
from maskformer_jax.data.images import decode_image, read_bytes
from maskformer_jax.data.panoptic import check_segments, decode_ids, to_label_map
from maskformer_jax.errors import UserError


class _Layout(NamedTuple):
    """Paths below the root, with {split}, {short} ("train" for "training") and {city}."""

    annotations: str
    maps: str
    images: str
    may_hide: bool = False  # whether later segments can cover earlier ones altogether


_LAYOUTS = (
    _Layout("annotations/panoptic_{split}.json", "annotations/panoptic_{split}", "{split}"),
    _Layout(
        "ade20k_panoptic_{short}.json", "ade20k_panoptic_{short}", "images/{split}", may_hide=True
    ),
    _Layout(
        "gtFine/cityscapes_panoptic_{split}.json",
        "gtFine/cityscapes_panoptic_{split}",
        "leftImg8bit/{split}/{city}",
    ),
    _Layout("{split}/panoptic/panoptic_2018.json", "{split}/panoptic", "{split}/images"),
)
_SHORT = {"training": "train", "validation": "val"}


class _Entry(NamedTuple):
    """One annotated image."""

    image_id: str
    image_file: str
    map_file: str
    size: Size
    segments: tuple[PanopticSegment, ...]


class CocoPanopticSource:
    """The examples of one split, in the order of the JSON file's annotations.

    Args:
        root: the data set's folder.
        split: such as "train2017".
        info: the data set; its category ids are those of the JSON file.

    Raises:
        UserError: there is no such split, the JSON file is damaged, empty, or of another data
            set. On access: a file is missing or damaged, sizes differ, or the ids in the PNG and
            in the JSON file are not the same.
    """

    def __init__(self, root: Path, split: str, info: DatasetInfo) -> None:
        layout = _find_layout(root, split)
        words = {"split": split, "short": _SHORT.get(split, split)}
        path = root / layout.annotations.format(**words)
        self._path = str(path)
        self._maps = root / layout.maps.format(**words)
        self._images = layout.images.format(**words, city="{city}")
        self._may_hide = layout.may_hide
        self._root = root
        self._entries = _read_entries(path, info)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Example:
        entry = self._entries[index]
        image_path, map_path = self._image_path(index), self._maps / entry.map_file
        image = decode_image(read_bytes(image_path), name=str(image_path))
        id_map = decode_ids(decode_image(read_bytes(map_path), name=str(map_path)))
        check_same_size(image.shape[:2], id_map.shape, name=f"{image_path} and {map_path}")
        if image.shape[:2] != entry.size:
            height, width = image.shape[:2]
            raise UserError(
                f"{image_path}: the image is {height} x {width} (height x width), but "
                f"{self._path} says {entry.size[0]} x {entry.size[1]}"
            )
        panoptic = PanopticLabels(id_map, entry.segments)
        check_segments(panoptic, name=f"{map_path} and {self._path}", may_hide=self._may_hide)
        return Example(entry.image_id, image, to_label_map(panoptic), panoptic)

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, as the JSON file says."""
        return self._entries[index].size

    def encoded_image(self, index: int) -> bytes:
        """The file of an image."""
        return read_bytes(self._image_path(index))

    def _image_path(self, index: int) -> Path:
        # The official panoptic files of Cityscapes name the images so.
        name = self._entries[index].image_file.replace("_gtFine_leftImg8bit", "_leftImg8bit")
        return self._root / self._images.format(city=name.partition("_")[0]) / name


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error}); the file is damaged") from error


def image_name(image_id: Any, file_name: str) -> str:
    """An image's id as text: the file's name without suffix where that is the same number."""
    stem = Path(file_name).stem
    same = isinstance(image_id, int) and stem.isdigit() and int(stem) == image_id
    return stem if same else str(image_id)


def check_categories(fields: Any, info: DatasetInfo, path: Path) -> dict[int, int]:
    """The label of each category id, after a look at the categories that the JSON file lists.

    Raises:
        UserError: the file lists a category that the data set does not have.
    """
    labels = {category.category_id: i for i, category in enumerate(info.categories)}
    for category in fields.get("categories", ()):
        if category["id"] not in labels:
            raise UserError(
                f"{path}: has the category {category['id']} ('{category.get('name', '?')}'), which "
                f"'{info.name}' has not; is data.dataset another data set?"
            )
    return labels


def _find_layout(root: Path, split: str) -> _Layout:
    if not root.is_dir():
        raise UserError(f"data.root: there is no folder {root}")
    words = {"split": split, "short": _SHORT.get(split, split)}
    for layout in _LAYOUTS:
        if (root / layout.annotations.format(**words)).is_file():
            return layout
    looked = ", ".join(layout.annotations.format(**words) for layout in _LAYOUTS)
    raise UserError(f"{root}: no panoptic annotations of the split '{split}'; looked for {looked}")


def _read_entries(path: Path, info: DatasetInfo) -> list[_Entry]:
    fields = read_json(path)
    try:
        labels = check_categories(fields, info, path)
        images = {image["id"]: image for image in fields["images"]}
        entries = [
            _read_entry(annotation, images, labels, path) for annotation in fields["annotations"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a panoptic annotation file as COCO has them "
            f"({type(error).__name__}: {error})"
        ) from error
    if not entries:
        raise UserError(f"{path}: lists no annotations; nothing to read")
    return entries


def _read_entry(
    annotation: dict[str, Any],
    images: dict[Any, dict[str, Any]],
    labels: dict[int, int],
    path: Path,
) -> _Entry:
    image_id = annotation["image_id"]
    if image_id not in images:
        raise UserError(f"{path}: annotates the image {image_id}, which `images` does not list")
    image = images[image_id]
    segments = []
    for segment in annotation["segments_info"]:
        if segment["category_id"] not in labels:
            raise UserError(
                f"{path}: segment {segment['id']} of image {image_id} has the category "
                f"{segment['category_id']}, which the data set has not"
            )
        segments.append(
            PanopticSegment(
                segment_id=int(segment["id"]),
                label=labels[segment["category_id"]],
                is_crowd=bool(segment.get("iscrowd", 0)),
                area=int(segment["area"]),
            )
        )
    return _Entry(
        image_id=image_name(image_id, image["file_name"]),
        image_file=image["file_name"],
        map_file=annotation["file_name"],
        size=(int(image["height"]), int(image["width"])),
        segments=tuple(segments),
    )
