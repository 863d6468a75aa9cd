"""Panoptic data sets in COCO's format: a JSON file of segments and a folder of RGB PNGs.

The layouts of COCO, ADE20K, Cityscapes and Mapillary Vistas are tried in turn (`LAYOUTS`).
"""

from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.coco_json import (
    ImageId,
    ListedImage,
    check_listed_size,
    labels_by_category_id,
    list_images,
    wrong_format,
)
from maskformer_jax.data.example import Example, PanopticLabels, PanopticSegment
from maskformer_jax.data.images import check_same_size, decode_image, read_image_size
from maskformer_jax.data.location import check_root, missing_data, read_file
from maskformer_jax.data.orientation import require_clear_orientation
from maskformer_jax.data.panoptic import check_segments, decode_id_map, fill_areas, to_label_map
from maskformer_jax.data.unique_names import require_unique
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_json
from maskformer_jax.types import Size


class _Layout(NamedTuple):
    """Paths below the root, with {split}, {short} ("train" for "training") and {city}."""

    annotations: str
    maps: str
    images: str
    allow_hidden: bool = False  # whether a segment may be covered completely by later ones


LAYOUTS = (
    _Layout("annotations/panoptic_{split}.json", "annotations/panoptic_{split}", "{split}"),
    _Layout(
        "ade20k_panoptic_{short}.json",
        "ade20k_panoptic_{short}",
        "images/{split}",
        allow_hidden=True,
    ),
    _Layout(
        "gtFine/cityscapes_panoptic_{split}.json",
        "gtFine/cityscapes_panoptic_{split}",
        "leftImg8bit/{split}/{city}",
    ),
    _Layout("{split}/panoptic/panoptic_2018.json", "{split}/panoptic", "{split}/images"),
    _Layout("panoptic_{split}.json", "panoptic_{split}", "{split}"),
    _Layout("annotations/{split}.json", "annotations/{split}", "images/{split}"),
    _Layout("{split}.json", "{split}", "images"),
)
_SHORT = {"training": "train", "validation": "val"}
_NO_AREA = -1  # `fill_areas` counts the pixels


class _Entry(NamedTuple):
    """One annotated image."""

    image: ListedImage
    map_file: str
    segments: tuple[PanopticSegment, ...]


class CocoPanopticSource:
    """The examples of one split, in the order of the JSON file's annotations.

    Args:
        root: the data set's folder, `config.data.root`.
        split: such as "train2017".
        info: the data set; its category ids are those of the JSON file.
        trust_exif: see `data.trust_exif`.

    Raises:
        UserError: the split is missing, or the JSON file is damaged, empty or of another data
            set. On access: a file is missing or damaged, sizes differ, or the ids in the PNG and
            in the JSON file differ.
    """

    def __init__(
        self, root: Path, split: str, info: DatasetInfo, *, trust_exif: bool = True
    ) -> None:
        layout = _find_layout(root, split)
        words = {"split": split, "short": _SHORT.get(split, split)}
        path = root / layout.annotations.format(**words)
        self._path = str(path)
        self._maps = root / layout.maps.format(**words)
        self._images = layout.images.format(**words, city="{city}")
        self._allow_hidden = layout.allow_hidden
        self._root, self._trust_exif = root, trust_exif
        self._entries, self.notes = _read_entries(path, info)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Example:
        listed, map_file, segments = self._entries[index]
        image_path, map_path = self._image_path(index), self._maps / map_file
        data = read_file(image_path, self._root)
        image = decode_image(data, name=str(image_path))
        id_map = decode_id_map(read_file(map_path, self._root), name=str(map_path))
        check_same_size(image.shape[:2], id_map.shape, name=f"{image_path} and {map_path}")
        check_listed_size(image.shape, listed.size, image=image_path, listing=self._path)
        if not self._trust_exif:
            require_clear_orientation(data, name=str(image_path))
        panoptic = PanopticLabels(id_map, segments)
        name = f"{map_path} and {self._path}"
        check_segments(panoptic, name=name, allow_hidden=self._allow_hidden)
        panoptic = fill_areas(panoptic)
        label_map = to_label_map(panoptic)
        return Example(listed.name, image, label_map, panoptic, source_id=listed.source_id)

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image from the JSON file, else from its header."""
        path = self._image_path(index)
        return self._entries[index].image.size or read_image_size(path, name=str(path))

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        return read_file(self._image_path(index), self._root)

    def _image_path(self, index: int) -> Path:
        # The official panoptic files of Cityscapes name images *_gtFine_leftImg8bit.png.
        name = self._entries[index].image.file_name.replace("_gtFine_leftImg8bit", "_leftImg8bit")
        return self._root / self._images.format(city=name.partition("_")[0]) / name


def _find_layout(root: Path, split: str) -> _Layout:
    check_root(root)
    words = {"split": split, "short": _SHORT.get(split, split)}
    for layout in LAYOUTS:
        if (root / layout.annotations.format(**words)).is_file():
            return layout
    looked = ", ".join(layout.annotations.format(**words) for layout in LAYOUTS)
    problem = f"it has no panoptic annotations of the split '{split}'; looked for {looked}"
    raise missing_data(root, problem)


def _read_entries(path: Path, info: DatasetInfo) -> tuple[list[_Entry], tuple[str, ...]]:
    """The annotated images, and what was left out."""
    fields = read_json(path)
    try:
        images = list_images(fields, path)
        labels = labels_by_category_id(fields, info, path)
        entries = [
            _read_entry(annotation, images, labels, path) for annotation in fields["annotations"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise wrong_format(path, "a panoptic", error) from error
    if not entries:
        raise UserError(f"{path}: lists no annotations; nothing to read")
    names = [entry.image.name for entry in entries]
    require_unique(names, what="annotation of image", where=str(path))
    missing = sorted(images.keys() - {entry.image.source_id for entry in entries}, key=str)
    if not missing:
        return entries, ()
    first = images[missing[0]].file_name
    return entries, (
        f"{path}: {len(missing)} of {len(images)} images have no annotation and are left out, "
        f"first {first}",
    )


def _read_entry(
    annotation: dict[str, Any],
    images: dict[ImageId, ListedImage],
    labels: dict[int, int],
    path: Path,
) -> _Entry:
    image_id = annotation["image_id"]
    if image_id not in images:
        raise UserError(f"{path}: annotates image {image_id!r}, which `images` does not list")
    segments = []
    for segment in annotation["segments_info"]:
        if segment["category_id"] not in labels:
            raise UserError(
                f"{path}: segment {segment['id']} of image {image_id!r} has category "
                f"{segment['category_id']}, which the data set does not have"
            )
        area = segment.get("area")
        segments.append(
            PanopticSegment(
                segment_id=int(segment["id"]),
                label=labels[segment["category_id"]],
                is_crowd=bool(segment.get("iscrowd") or 0),
                area=_NO_AREA if area is None else int(area),
            )
        )
    return _Entry(images[image_id], annotation["file_name"], tuple(segments))
