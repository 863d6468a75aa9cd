"""Images with label maps: which folders, which names belong together, which splits."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from maskformer_jax.data.detect.classes import find_classes
from maskformer_jax.data.detect.found import (
    Found,
    choose_splits,
    describe_splits,
    is_split_name,
)
from maskformer_jax.data.folder import IMAGE_SUFFIXES, Layout, list_split
from maskformer_jax.errors import UserError
from maskformer_jax.file_search import is_hidden

_IMAGES = ("images", "image", "imgs", "img", "JPEGImages", "rgb", "photos")
_LABELS = (
    *("annotations", "masks", "labels", "mask", "label", "annotation", "gt", "targets"),
    *("SegmentationClass", "SegmentationClassPNG", "segmentation", "segmentations", "seg"),
)
_LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_MARKS = ("_mask", "-mask", "_masks", "_label", "_labels", "_gt", "_seg", "_L", "_annotation", "")
_BESIDE = ("annot", "_annot", "_labels", "_label", "_masks", "_mask", "_gt")  # train, trainannot
_VOC_LISTS = "ImageSets/Segmentation"


class _Guess(NamedTuple):
    images: str
    labels: str
    endings: tuple[str, ...]
    splits: tuple[str, ...]
    split_files: str
    pairs: int


def find_folders(root: Path) -> Found | None:
    """Look for folders of images and label maps, or one folder of both.

    Raises:
        UserError: they are found, but their classes cannot be told.
    """
    guesses = [guess for guess in _guesses(root) if guess.pairs]
    if not guesses:
        return None
    best = max(guesses, key=lambda guess: guess.pairs)
    train, evaluation = choose_splits(best.splits, where=root)
    layout = Layout(
        best.images, best.labels, label_endings=best.endings, split_files=best.split_files
    )
    listing = list_split(root, train.partition("[")[0], layout)
    label_files = [listing.label_dir / name for name in listing.labels]
    info, origin = find_classes(root, label_files)
    shown = best.endings[0].removesuffix(Path(best.endings[0]).suffix)
    guesses_told = (
        f"images in {best.images}, label maps in {best.labels}"
        + (f", named NAME{shown}" if shown else "")
        + f": {best.pairs} pairs",
        describe_splits(train, evaluation),
        f"{info.num_classes} classes from {origin}",
    )
    return Found(
        "folder",
        root,
        train,
        evaluation,
        info,
        guesses_told,
        images=best.images,
        labels=best.labels,
        label_endings=best.endings,
        split_files=best.split_files,
    )


def _guesses(root: Path) -> Iterator[_Guess]:
    inside = [path.name for path in sorted(root.iterdir()) if path.is_dir()]
    folders = [name for name in inside if not is_hidden(name)]
    lists = sorted(path.stem for path in (root / _VOC_LISTS).glob("*.txt"))
    for images in _named(folders, _IMAGES):
        for labels in _named(folders, _LABELS):
            inner = _subfolders(root / images)
            splits = [name for name in inner if (root / labels / name).is_dir()]
            if splits:
                yield _guess(root, f"{images}/{{split}}", f"{labels}/{{split}}", splits)
            elif lists:
                files = f"{_VOC_LISTS}/{{split}}.txt"
                chosen = [name for name in lists if name != "trainval"]
                yield _guess(root, images, labels, chosen, split_files=files)
            else:
                yield _guess(root, images, labels, ["all"])
    splits = [name for name in folders if is_split_name(name)]
    for mark in _BESIDE:
        beside = [name for name in splits if f"{name}{mark}" in folders]
        if beside:
            yield _guess(root, "{split}", f"{{split}}{mark}", beside)
    if splits:
        inner = _subfolders(root / splits[0])
        for images in _named(inner, _IMAGES):
            for labels in _named(inner, _LABELS):
                yield _guess(root, f"{{split}}/{images}", f"{{split}}/{labels}", splits)
        yield _guess(root, "{split}", "{split}", splits)
    yield _guess(root, ".", ".", ["all"])


def _guess(
    root: Path, images: str, labels: str, splits: Sequence[str], *, split_files: str = ""
) -> _Guess:
    """Find the ending of label maps with which most of them belong to an image."""
    pairs: Counter[str] = Counter()
    usable = []
    for split in splits:
        found = _count_pairs(
            _file_names(root / images.format(split=split)),
            _file_names(root / labels.format(split=split)),
            together=images == labels,
        )
        pairs.update(found)
        if found:
            usable.append(split)
    if not pairs:
        return _Guess(images, labels, (), tuple(splits), split_files, 0)
    ending, number = pairs.most_common(1)[0]
    return _Guess(images, labels, (ending,), tuple(usable), split_files, number)


def _count_pairs(images: set[str], labels: set[str], *, together: bool) -> Counter[str]:
    """For each ending of label maps, how many of them have an image."""
    stems = Counter(
        name[: -len(Path(name).suffix)]
        for name in images
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
    )
    pairs: Counter[str] = Counter()
    for mark in _MARKS:
        for suffix in _LABEL_SUFFIXES:
            ending = mark + suffix
            for name in labels:
                if not name.lower().endswith(ending.lower()):
                    continue
                stem = name[: -len(ending)]
                # In one folder a label map is an image too, and needs another file of its name.
                if stem in stems and (mark or not together or stems[stem] > 1):
                    pairs[ending] += 1
    return pairs


def _named(folders: Sequence[str], words: Sequence[str]) -> list[str]:
    known = {word.lower() for word in words}
    return [name for name in folders if name.lower() in known]


def _subfolders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name))


def _file_names(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if path.is_file() and not is_hidden(path.name)}


def require_folders(root: Path) -> Found:
    """As `find_folders`, for a data set that must be of this kind.

    Raises:
        UserError: no images with label maps were found.
    """
    found = find_folders(root)
    if found is None:
        raise UserError(
            f"{root}: found neither COCO's JSON files nor images with label maps; "
            "docs/datasets.md shows the layouts that are known"
        )
    return found
