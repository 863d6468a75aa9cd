"""A folder of images beside a folder of label maps.

    root/images/<split>/NAME.jpg        or .jpeg, .png, .bmp, .webp, .tif, .tiff
    root/annotations/<split>/NAME.png

Folders inside a split are searched too. ADE20K (SceneParse150) and CamVid come like this.
"""

from pathlib import Path
from typing import NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.example import Example
from maskformer_jax.data.images import decode_image, decode_label_map, read_bytes
from maskformer_jax.data.labels import LabelTable
from maskformer_jax.errors import UserError

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_SHOWN = 5  # files that a message lists


class Listing(NamedTuple):
    """What lies in the folders of one split, each sorted."""

    images: list[str]  # paths below images/<split>, those that have a label map
    image_ids: list[str]  # the same without suffix
    unlabelled: list[str]  # images without a label map
    unused: list[str]  # label maps without an image


def list_split(root: Path, split: str) -> Listing:
    """Pairs images with label maps by name.

    Raises:
        UserError: a folder is missing, holds no image, or two images share a name.
    """
    image_dir, label_dir = root / "images" / split, root / "annotations" / split
    for folder in (image_dir, label_dir):
        if not folder.is_dir():
            raise UserError(_describe_missing(folder, root))
    by_id: dict[str, str] = {}
    for relative in _files_below(image_dir, _IMAGE_SUFFIXES):
        image_id = relative.rpartition(".")[0]
        if image_id in by_id:
            raise UserError(
                f"{image_dir}: {by_id[image_id]} and {relative} share the label map "
                f"{image_id}.png; remove or rename one"
            )
        by_id[image_id] = relative
    if not by_id:
        raise UserError(f"{image_dir}: no images ({', '.join(_IMAGE_SUFFIXES)}); nothing to read")
    labels = {relative.rpartition(".")[0] for relative in _files_below(label_dir, (".png",))}
    image_ids = sorted(by_id.keys() & labels)
    return Listing(
        images=[by_id[image_id] for image_id in image_ids],
        image_ids=image_ids,
        unlabelled=sorted(by_id[image_id] for image_id in by_id.keys() - labels),
        unused=sorted(f"{name}.png" for name in labels - by_id.keys()),
    )


class FolderSource:
    """The examples of one split, in the order of their names.

    Args:
        root: the data set's folder.
        split: such as "train".
        info: the data set.
        listing: what `list_split` found, where it is known already.

    Raises:
        UserError: as `list_split`, or an image has no label map (unless `listing` is given). On
            access: a file is damaged, sizes differ, or a label is outside the class range.
    """

    def __init__(
        self, root: Path, split: str, info: DatasetInfo, *, listing: Listing | None = None
    ) -> None:
        if listing is None:
            listing = list_split(root, split)
            if listing.unlabelled:
                raise UserError(_describe_unlabelled(root / "annotations" / split, listing))
        self._image_dir = root / "images" / split
        self._label_dir = root / "annotations" / split
        self._listing = listing
        self._table = LabelTable(info)

    def __len__(self) -> int:
        return len(self._listing.images)

    def __getitem__(self, index: int) -> Example:
        image_id = self._listing.image_ids[index]
        image_path = self._image_dir / self._listing.images[index]
        label_path = self._label_dir / f"{image_id}.png"
        image = decode_image(read_bytes(image_path), name=str(image_path))
        stored = decode_label_map(read_bytes(label_path), name=str(label_path))
        check_same_size(image.shape[:2], stored.shape, name=f"{image_path} and {label_path}")
        return Example(image_id, image, self._table.translate(stored, name=str(label_path)))


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


def _files_below(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    # Names that begin with a dot are left by file managers and downloads, not data.
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def _describe_missing(folder: Path, root: Path) -> str:
    if not root.is_dir():
        return f"data.root: there is no folder {root}"
    siblings = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
    there = f"; {folder.parent} has {', '.join(siblings)}" if siblings else ""
    return (
        f"there is no folder {folder}{there}. The layout is {root}/images/<split>/*.jpg and "
        f"{root}/annotations/<split>/*.png"
    )


def _describe_unlabelled(label_dir: Path, listing: Listing) -> str:
    missing = [name.rpartition(".")[0] + ".png" for name in listing.unlabelled]
    shown = ", ".join(missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    total = len(missing) + len(listing.images)
    return f"{label_dir}: {len(missing)} of {total} images have no label map: {shown}{more}"
