"""Images beside label maps, in one of several layouts of folders.

    folder      images/<split>/NAME.jpg and annotations/<split>/NAME.png: plain folders, CamVid,
                ADE20K (SceneParse150) as distributed
    prepared    the same in images_detectron2 and annotations_detectron2, also 16-bit TIFF: what
                `prepare` makes of ADE20K-Full and COCO-Stuff-10K
    cityscapes  leftImg8bit/<split>/CITY/NAME_leftImg8bit.png and
                gtFine/<split>/CITY/NAME_gtFine_labelTrainIds.png
    mapillary   <split>/images/NAME.jpg and <split>/labels/NAME.png

Images may have any of the usual suffixes, and folders inside a split are searched too.
"""

from pathlib import Path
from typing import NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Size
from maskformer_jax.data.example import Example
from maskformer_jax.data.images import decode_image, decode_label_map, read_bytes, read_image_size
from maskformer_jax.data.labels import LabelTable
from maskformer_jax.errors import UserError

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_SHOWN = 5  # files that a message lists


class Layout(NamedTuple):
    """Where images and label maps lie; a pair has the same path below its folder but for the end.

    The folders are relative to the root and contain {split}.
    """

    images: str
    labels: str
    image_ends: tuple[str, ...] = _IMAGE_SUFFIXES
    label_ends: tuple[str, ...] = (".png",)


LAYOUTS = {
    "folder": Layout("images/{split}", "annotations/{split}"),
    "prepared": Layout(
        "images_detectron2/{split}",
        "annotations_detectron2/{split}",
        label_ends=(".png", ".tif", ".tiff"),
    ),
    "cityscapes": Layout(
        "leftImg8bit/{split}",
        "gtFine/{split}",
        image_ends=tuple(f"_leftImg8bit{suffix}" for suffix in _IMAGE_SUFFIXES),
        label_ends=("_gtFine_labelTrainIds.png",),
    ),
    "mapillary": Layout("{split}/images", "{split}/labels"),
}


class Listing(NamedTuple):
    """What lies in the folders of one split, each sorted by name."""

    image_dir: Path
    label_dir: Path
    image_ids: list[str]  # paths below the folders, without their ends
    images: list[str]  # paths below `image_dir`, those that have a label map
    labels: list[str]  # their label maps, below `label_dir`
    unlabelled: list[str]  # images without a label map
    unused: list[str]  # label maps without an image


def list_split(root: Path, split: str, layout: Layout) -> Listing:
    """Pairs images with label maps by name.

    Raises:
        UserError: a folder is missing, holds no image, or two files share a name.
    """
    image_dir = root / layout.images.format(split=split)
    label_dir = root / layout.labels.format(split=split)
    for folder in (image_dir, label_dir):
        if not folder.is_dir():
            raise UserError(_describe_missing(folder, root, layout))
    images = find_files(image_dir, layout.image_ends)
    labels = find_files(label_dir, layout.label_ends)
    if not images:
        raise UserError(f"{image_dir}: no images ({', '.join(layout.image_ends)}); nothing to read")
    image_ids = sorted(images.keys() & labels.keys())
    return Listing(
        image_dir,
        label_dir,
        image_ids=image_ids,
        images=[images[image_id] for image_id in image_ids],
        labels=[labels[image_id] for image_id in image_ids],
        unlabelled=sorted(images[image_id] for image_id in images.keys() - labels.keys()),
        unused=sorted(labels[image_id] for image_id in labels.keys() - images.keys()),
    )


def find_files(folder: Path, ends: tuple[str, ...]) -> dict[str, str]:
    """The files below a folder whose names have one of the ends: path without it to path.

    Raises:
        UserError: two files differ in their ends only.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        # Names that begin with a dot are left by file managers and downloads, not data.
        end = next((end for end in ends if path.name.lower().endswith(end.lower())), None)
        if end is None or path.name.startswith("."):
            continue
        relative = path.relative_to(folder).as_posix()
        name = relative[: -len(end)]
        if name in found:
            raise UserError(
                f"{folder}: {found[name]} and {relative} have the same name; remove or rename one"
            )
        found[name] = relative
    return found


class FolderSource:
    """The examples of one split, in the order of their names.

    Args:
        listing: what `list_split` found.
        info: the data set.
        lenient: whether images without a label map are left out, not refused.

    Raises:
        UserError: an image has no label map, or none has one. On access: a file is damaged, sizes
            differ, or a label is outside the class range.
    """

    def __init__(self, listing: Listing, info: DatasetInfo, *, lenient: bool = False) -> None:
        if listing.unlabelled and not lenient:
            raise UserError(_describe_unlabelled(listing))
        self._listing = listing
        self._table = LabelTable(info)

    def __len__(self) -> int:
        return len(self._listing.images)

    def __getitem__(self, index: int) -> Example:
        image_id = self._listing.image_ids[index]
        image_path = self._image_path(index)
        label_path = self._listing.label_dir / self._listing.labels[index]
        image = decode_image(read_bytes(image_path), name=str(image_path))
        stored = decode_label_map(read_bytes(label_path), name=str(label_path))
        check_same_size(image.shape[:2], stored.shape, name=f"{image_path} and {label_path}")
        return Example(image_id, image, self._table.translate(stored, name=str(label_path)))

    def image_size(self, index: int) -> Size:
        """(height, width) of an image, without decoding it."""
        path = self._image_path(index)
        return read_image_size(path, name=str(path))

    def encoded_image(self, index: int) -> bytes:
        """The file of an image."""
        return read_bytes(self._image_path(index))

    def _image_path(self, index: int) -> Path:
        return self._listing.image_dir / self._listing.images[index]


def check_same_size(image_size: tuple[int, ...], label_size: tuple[int, ...], *, name: str) -> None:
    """Raises a UserError unless both are the same (height, width)."""
    if image_size == label_size:
        return
    (height, width), (label_height, label_width) = image_size, label_size
    turned = (width, height) == (label_height, label_width)
    hint = " (is the image rotated by its EXIF tag?)" if turned else ""
    raise UserError(
        f"{name}: the image is {height} x {width} (height x width), but its label map is "
        f"{label_height} x {label_width}; they must be the same size{hint}"
    )


def describe_missing_folder(folder: Path, root: Path, layout: str) -> str:
    """What to say where a folder is not there: what is, and what should be."""
    if not root.is_dir():
        return f"data.root: there is no folder {root}"
    siblings = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
    there = f"; {folder.parent} has {', '.join(siblings)}" if siblings else ""
    return f"there is no folder {folder}{there}. The layout is {layout}"


def _describe_missing(folder: Path, root: Path, layout: Layout) -> str:
    images = layout.images.format(split="<split>") + f"/*{layout.image_ends[0]}"
    labels = layout.labels.format(split="<split>") + f"/*{layout.label_ends[0]}"
    return describe_missing_folder(folder, root, f"{root}/{images} and {root}/{labels}")


def _describe_unlabelled(listing: Listing) -> str:
    missing = listing.unlabelled
    shown = ", ".join(missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    total = len(missing) + len(listing.images)
    return f"{listing.label_dir}: {len(missing)} of {total} images have no label map: {shown}{more}"
