"""The classes of label maps: from a file beside them, or from the label maps themselves."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskformer_jax.categories import Category, DatasetInfo
from maskformer_jax.data.class_lists import read_palette
from maskformer_jax.data.label_names import default_color, ignore_label_for
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_json

_FILES = (
    *("classes.txt", "class_names.txt", "labels.txt", "_classes.csv", "classes.csv"),
    *("labelmap.txt", "label_colors.txt", "class_dict.csv", "colors.txt", "colors.csv"),
    *("palette.png", "classes.json", "categories.json", "dataset.json"),
)
_LOOKED_AT = 64  # label maps
_MOST_VALUES = 64  # of classes that are guessed
_VOID = 255


def find_classes(root: Path, label_maps: Sequence[Path]) -> tuple[DatasetInfo, str]:
    """Find the classes of label maps.

    Args:
        root: the folder of the data set, in which a file may list them.
        label_maps: some or all of them.

    Returns:
        The classes, and in words where they come from.

    Raises:
        UserError: the classes cannot be told; says which file would tell.
    """
    for file in _class_files(root):
        return load_dataset_info(str(file)), str(file.relative_to(root))
    step = max(len(label_maps) // _LOOKED_AT, 1)
    return _read_classes(root, label_maps[::step])


def _class_files(root: Path) -> Iterator[Path]:
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    for folder in folders:
        for name in _FILES:
            file = folder / name
            if file.is_file() and not (file.suffix == ".json" and not _lists_classes(file)):
                yield file


def _lists_classes(file: Path) -> bool:
    fields = read_json(file)
    return isinstance(fields, dict) and "categories" in fields and "name" in fields


def _read_classes(root: Path, label_maps: Sequence[Path]) -> tuple[DatasetInfo, str]:
    values: set[int] = set()
    colors: set[tuple[int, ...]] = set()
    with_palette = False
    for path in label_maps:
        try:
            with Image.open(path) as image:
                if image.mode in ("RGB", "RGBA"):
                    found = np.unique(np.array(image.convert("RGB")).reshape(-1, 3), axis=0)
                    colors |= set(map(tuple, found.tolist()))
                else:
                    with_palette |= image.mode == "P"
                    values |= set(np.unique(np.array(image)).tolist())
        except OSError as error:
            raise UserError(f"{path}: cannot be read as a label map ({error})") from error
    if colors:
        raise UserError(_explain_colors(root, colors))
    if with_palette and values <= set(range(_VOID + 1)):
        return _from_palette(root, label_maps[0], values), "the palette of the label maps"
    return _from_values(root, values), "the values in the label maps"


def _explain_colors(root: Path, colors: set[tuple[int, ...]]) -> str:
    if len(colors) > _MOST_VALUES:
        return (
            f"{root}: the label maps have {len(colors)} colours, too many for classes. Are they "
            "photographs, or were they saved as JPEG or enlarged smoothly?"
        )
    rows = "\n  ".join(f"{r} {g} {b} NAME" for r, g, b in sorted(colors))
    return (
        f"{root}: the label maps are pictures in {len(colors)} colours. Say what they mean in "
        f"{root / 'colors.txt'}, one line for each (the name void for pixels to ignore):\n  {rows}"
    )


def _from_palette(root: Path, label_map: Path, values: set[int]) -> DatasetInfo:
    info = read_palette(label_map)
    number = max((value for value in values if value != _VOID), default=0) + 1
    known = info.categories[:number]
    more = tuple(
        Category(name=f"class {label}", color=default_color(label), category_id=label)
        for label in range(len(known), number)
    )
    return DatasetInfo(name=root.absolute().name, categories=known + more, ignore_label=_VOID)


def _from_values(root: Path, values: set[int]) -> DatasetInfo:
    name = root.absolute().name
    if not values or len(values) > _MOST_VALUES or min(values) < 0:
        raise UserError(
            f"{root}: the label maps hold {len(values)} different values, which look like no "
            f"classes; list the classes in {root / 'classes.txt'}"
        )
    if values == {0, _VOID}:
        two = (
            Category(name="background", color=(60, 60, 60), category_id=0),
            Category(name="object", color=default_color(1), category_id=_VOID),
        )
        return DatasetInfo(name=name, categories=two, ignore_label=None)
    used = sorted(values - {_VOID})
    if used[-1] < 2 * len(used):  # nearly all numbers from 0 occur
        used = list(range(used[-1] + 1))
    categories = tuple(
        Category(name=f"class {value}", color=default_color(label), category_id=value)
        for label, value in enumerate(used)
    )
    return DatasetInfo(name=name, categories=categories, ignore_label=ignore_label_for(used))
