"""Class lists as people have them: names, colour tables, palettes, COCO categories.

classes.txt     a name on each line; label maps hold the number of the line, from 0
colours         lines of a name and a colour: `r g b name`, `name r g b`, `name,r,g,b` (as .csv
                or .txt), or CVAT's labelmap.txt; the label maps are pictures in these colours
palette.png     a label map with a palette; classes are numbered, the colours are the palette's
COCO's JSON     `categories` of an instance or panoptic file
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.categories import Category, Color, DatasetInfo
from maskformer_jax.data.label_names import default_color, ignore_label_for, info_from_names
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_text

_NUMBER, _SPACE = r"(\d+)", r"[\s,;]+"
_COLOR_LINES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NUMBER}{_SPACE}{_NUMBER}{_SPACE}{_NUMBER}{_SPACE}(?P<name>\S.*)",
        rf"(?P<name>.*?\S){_SPACE}{_NUMBER}{_SPACE}{_NUMBER}{_SPACE}{_NUMBER}",
        rf"(?P<name>[^:]+):{_NUMBER},{_NUMBER},{_NUMBER}(:.*)?",
    )
)
_VOID_NAMES = ("void", "ignore", "unlabeled", "unlabelled", "ignored")
_HEADERS = (["name", "r", "g", "b"], ["name", "red", "green", "blue"], ["r", "g", "b", "name"])
_VALUE_HEADERS = (["pixel", "value", "class"], ["value", "class"])
_BORDER = 255  # of objects in Pascal VOC's palettes


def read_class_text(path: Path) -> DatasetInfo:
    """Read a list of names, or a table of names and colours.

    Raises:
        UserError: it is empty, only some lines have colours, or a name or colour is repeated.
    """
    lines = [
        line.strip() for line in read_text(path).splitlines() if line.strip() and line[0] != "#"
    ]
    header = re.split(_SPACE, lines[0].lower()) if lines else []
    if header in _HEADERS or header in _VALUE_HEADERS:
        lines = lines[1:]
    if not lines:
        raise UserError(f"{path}: has no class; write one name on each line")
    if header in _VALUE_HEADERS:
        return _from_values(path, lines)
    matches = [_match_color(line) for line in lines]
    if not any(matches):
        return info_from_names(path.absolute().parent.name, _distinct(lines, path))
    if not all(matches):
        plain = next(line for line, match in zip(lines, matches, strict=True) if not match)
        raise UserError(f"{path}: '{plain}' has no colour, as other lines have (r g b, 0..255)")
    return _from_colors(
        path, [(match["name"].strip(), _color(match)) for match in matches if match]
    )


def read_palette(path: Path) -> DatasetInfo:
    """Take the classes of label maps with a palette from one of them, or from an example of it.

    Raises:
        UserError: the file is not an image with a palette.
    """
    from PIL import Image  # building a model from a name needs no image decoder

    try:
        with Image.open(path) as image:
            if image.mode != "P":
                raise UserError(
                    f"{path}: has no palette (its mode is {image.mode}); give a PNG with one, or a "
                    "list of names"
                )
            colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3).tolist()
            used = [value for value in np.unique(np.array(image)).tolist() if value != _BORDER]
    except OSError as error:
        raise UserError(f"{path}: cannot be read as an image ({error})") from error
    number = len(colors) if len(colors) <= _BORDER else max(used, default=0) + 1
    categories = tuple(
        Category(name=f"class {label}", color=(color[0], color[1], color[2]), category_id=label)
        for label, color in enumerate(colors[:number])
    )
    return DatasetInfo(
        name=path.absolute().parent.name, categories=categories, ignore_label=_BORDER
    )


def info_from_coco(name: str, fields: dict[str, Any]) -> DatasetInfo:
    """Take the classes of a COCO instance or panoptic file from its `categories`.

    Categories that no annotation uses and that others name as their `supercategory` are parents,
    which are left out. In instance files all classes are things.

    Raises:
        KeyError, TypeError, ValueError: the file has another form.
    """
    annotations = fields["annotations"]
    panoptic = any("segments_info" in one for one in annotations)
    used = {
        part["category_id"]
        for one in annotations
        for part in (one["segments_info"] if panoptic else [one])
    }
    parents = {entry.get("supercategory") for entry in fields["categories"]}
    listed = [
        entry
        for entry in fields["categories"]
        if entry["id"] in used or entry["name"] not in parents or not used
    ]
    categories = tuple(
        Category(
            name=str(entry["name"]),
            color=_listed_color(entry.get("color"), label),
            is_thing=bool(entry.get("isthing", 1)),
            category_id=int(entry["id"]),
        )
        for label, entry in enumerate(sorted(listed, key=lambda one: int(one["id"])))
    )
    ids = [category.category_id for category in categories]
    return DatasetInfo(name=name, categories=categories, ignore_label=ignore_label_for(ids))


def _from_values(path: Path, lines: Sequence[str]) -> DatasetInfo:
    rows = [line.partition(",") for line in lines]
    wrong = [value for value, _, name in rows if not value.strip().isdecimal() or not name.strip()]
    if wrong:
        raise UserError(f"{path}: '{wrong[0]}' is no value of a class, as in other lines")
    _distinct([name.strip() for _, _, name in rows], path)
    categories = tuple(
        Category(name=name.strip(), color=default_color(label), category_id=int(value))
        for label, (value, _, name) in enumerate(rows)
    )
    ids = [category.category_id for category in categories]
    if _repeated(ids):
        raise UserError(f"{path}: several classes have the value {_repeated(ids)[0]}")
    return DatasetInfo(
        name=path.absolute().parent.name,
        categories=categories,
        ignore_label=ignore_label_for(ids),
    )


def _match_color(line: str) -> re.Match[str] | None:
    return next((match for match in (p.fullmatch(line) for p in _COLOR_LINES) if match), None)


def _color(match: re.Match[str]) -> Color:
    red, green, blue = (int(text) for text in match.groups() if text and text.isdecimal())
    return red, green, blue


def _from_colors(path: Path, rows: Sequence[tuple[str, Color]]) -> DatasetInfo:
    for name, color in rows:
        if max(color) > 255:
            raise UserError(f"{path}: the colour of '{name}' is {color}, but must be in 0..255")
    repeated = _repeated(color for _, color in rows)
    if repeated:
        raise UserError(f"{path}: several classes have the colour {repeated[0]}")
    classes = [row for row in rows if row[0].lower() not in _VOID_NAMES]
    _distinct([name for name, _ in classes], path)
    categories = tuple(
        Category(name=name, color=color, category_id=label)
        for label, (name, color) in enumerate(classes)
    )
    return DatasetInfo(
        name=path.absolute().parent.name,
        categories=categories,
        ignore_label=ignore_label_for(range(len(categories))),
        label_maps="color",
        ignore_colors=tuple(color for row in rows if row not in classes for color in [row[1]]),
    )


def _listed_color(color: Any, label: int) -> Color:
    if not isinstance(color, list):  # Label Studio and others write text, or nothing
        return default_color(label)
    red, green, blue = (int(value) for value in color)
    return red, green, blue


def _distinct(names: Sequence[str], path: Path) -> Sequence[str]:
    repeated = _repeated(names)
    if repeated:
        raise UserError(f"{path}: the class '{repeated[0]}' is listed twice")
    return names


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]
