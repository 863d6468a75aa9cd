"""Images with label maps, in one of several folder layouts.

    folder      images/<split>/NAME.jpg and annotations/<split>/NAME.png: your own data, CamVid,
                ADE20K (SceneParse150) as distributed
    prepared    the same in images_detectron2 and annotations_detectron2, also 16-bit TIFF: written
                by `prepare` for ADE20K-Full and COCO-Stuff-10K
    cityscapes  leftImg8bit/<split>/CITY/NAME_leftImg8bit.png and
                gtFine/<split>/CITY/NAME_gtFine_labelTrainIds.png
    mapillary   <split>/images/NAME.jpg and <split>/labels/NAME.png

Images may have any common suffix; subfolders of a split are searched too.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import DataConfig
from maskformer_jax.data.example import Example
from maskformer_jax.data.images import (
    check_same_size,
    decode_image,
    read_bytes,
    read_image_size,
)
from maskformer_jax.data.label_files import label_reader
from maskformer_jax.data.location import check_folder
from maskformer_jax.data.orientation import require_clear_orientation
from maskformer_jax.errors import UserError
from maskformer_jax.file_search import files_below
from maskformer_jax.json_files import read_text
from maskformer_jax.types import Size

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff")
_MAX_LISTED = 5  # files in a message


class Layout(NamedTuple):
    """Where images and label maps are; the two files of a pair differ only in folder and ending.

    Paths are relative to the root and may contain {split}. Images and label maps may lie in one
    folder; label maps are then told by their endings.
    """

    images: str
    labels: str
    image_endings: tuple[str, ...] = IMAGE_SUFFIXES
    label_endings: tuple[str, ...] = (".png",)
    split_files: str = ""  # text files with the names of a split; empty: all files


LAYOUTS = {
    "folder": Layout("images/{split}", "annotations/{split}"),
    "prepared": Layout(
        "images_detectron2/{split}",
        "annotations_detectron2/{split}",
        label_endings=(".png", ".tif", ".tiff"),
    ),
    "cityscapes": Layout(
        "leftImg8bit/{split}",
        "gtFine/{split}",
        image_endings=tuple(f"_leftImg8bit{suffix}" for suffix in IMAGE_SUFFIXES),
        label_endings=("_gtFine_labelTrainIds.png",),
    ),
    "mapillary": Layout("{split}/images", "{split}/labels"),
}


class Listing(NamedTuple):
    """The files of one split, sorted by name."""

    image_dir: Path
    label_dir: Path
    image_ids: list[str]  # paths below the folders, without the ending
    images: list[str]  # paths below `image_dir` of the images that have a label map
    labels: list[str]  # their label maps, below `label_dir`
    unlabelled: list[str]  # images without a label map
    unused: list[str]  # label maps without an image


def list_split(root: Path, split: str, layout: Layout) -> Listing:
    """Pair images with label maps by name.

    Args:
        root: the data set's folder, `config.data.root`.
        split: such as "train".
        layout: one of `LAYOUTS`.

    Raises:
        UserError: a folder is missing or has no images, or two files share a name.
    """
    image_dir = root / layout.images.format(split=split)
    label_dir = root / layout.labels.format(split=split)
    for folder in (image_dir, label_dir):
        check_folder(folder, root, layout=_describe_layout(root, layout))
    image_endings = layout.image_endings
    if image_dir == label_dir:  # a label map is no image, nor hides one of its name
        image_endings = tuple(x for x in image_endings if x not in layout.label_endings)
    labels = find_files(label_dir, layout.label_endings)
    taken = set(labels.values()) if image_dir == label_dir else set()
    images = find_files(image_dir, image_endings, without=taken)
    if layout.split_files:
        listed = _read_names(root / layout.split_files.format(split=split))
        images = {name: file for name, file in images.items() if name in listed}
        labels = {name: file for name, file in labels.items() if name in listed}
    if not images:
        others = Counter(path.suffix for path in files_below(image_dir))
        found = ", ".join(
            f"{number} {suffix or 'without suffix'}" for suffix, number in others.items()
        )
        raise UserError(
            f"{image_dir}: no images ({', '.join(layout.image_endings)}); it has "
            f"{found or 'no files'}"
        )
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


def layout_of(config: DataConfig) -> Layout:
    """The layout that a config names, with what it says of folders and endings."""
    layout = LAYOUTS[config.format]
    return layout._replace(
        images=config.images or layout.images,
        labels=config.labels or layout.labels,
        label_endings=config.label_endings or layout.label_endings,
        split_files=config.split_files,
    )


def _read_names(path: Path) -> set[str]:
    """The first word of each line: Pascal VOC's lists may have a second."""
    return {line.split()[0] for line in read_text(path).splitlines() if line.strip()}


def find_files(
    folder: Path, endings: tuple[str, ...], *, without: Collection[str] = ()
) -> dict[str, str]:
    """Find the files below a folder with one of the endings: path without ending to path.

    Args:
        folder: to search.
        endings: of the names.
        without: paths below the folder to leave out.

    Raises:
        UserError: two files differ only in their ending.
    """
    found: dict[str, str] = {}
    for path in files_below(folder):
        ending = next((x for x in endings if path.name.lower().endswith(x.lower())), None)
        if ending is None:
            continue
        relative = path.relative_to(folder).as_posix()
        if relative in without:
            continue
        name = relative[: -len(ending)]
        if name in found:
            raise UserError(
                f"{folder}: {found[name]} and {relative} have the same name; remove or rename one"
            )
        found[name] = relative
    return found


class FolderSource:
    """The examples of one split, sorted by name.

    Args:
        listing: the result of `list_split`.
        info: the data set.
        lenient: whether to leave out images without a label map instead of refusing them.
        trust_exif: see `data.trust_exif`.

    Raises:
        UserError: an image has no label map. On access: a file is damaged, sizes differ, or a
            label is outside the class range.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        listing: Listing,
        info: DatasetInfo,
        *,
        lenient: bool = False,
        trust_exif: bool = True,
    ) -> None:
        if listing.unlabelled and not lenient:
            raise UserError(_describe_unlabelled(listing))
        self._listing = listing
        self._trust_exif = trust_exif
        self._read_labels = label_reader(info)

    def __len__(self) -> int:
        return len(self._listing.images)

    def __getitem__(self, index: int) -> Example:
        image_id = self._listing.image_ids[index]
        image_path = self._image_path(index)
        label_path = self._listing.label_dir / self._listing.labels[index]
        data = read_bytes(image_path)
        image = decode_image(data, name=str(image_path))
        label_map = self._read_labels(read_bytes(label_path), name=str(label_path))
        check_same_size(image.shape[:2], label_map.shape, name=f"{image_path} and {label_path}")
        if not self._trust_exif:
            require_clear_orientation(data, name=str(image_path))
        return Example(image_id, image, label_map)

    def image_size(self, index: int) -> Size:
        """Return the (height, width) of an image without decoding it."""
        path = self._image_path(index)
        return read_image_size(path, name=str(path))

    def encoded_image(self, index: int) -> bytes:
        """Return the encoded image as stored."""
        return read_bytes(self._image_path(index))

    def _image_path(self, index: int) -> Path:
        return self._listing.image_dir / self._listing.images[index]


def _describe_layout(root: Path, layout: Layout) -> str:
    images = layout.images.format(split="<split>") + f"/*{layout.image_endings[0]}"
    labels = layout.labels.format(split="<split>") + f"/*{layout.label_endings[0]}"
    return f"{root}/{images} and {root}/{labels}"


def _describe_unlabelled(listing: Listing) -> str:
    missing = listing.unlabelled
    names = ", ".join(missing[:_MAX_LISTED])
    more = f" and {len(missing) - _MAX_LISTED} more" if len(missing) > _MAX_LISTED else ""
    total = len(missing) + len(listing.images)
    return f"{listing.label_dir}: {len(missing)} of {total} images have no label map: {names}{more}"
