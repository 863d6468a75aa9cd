"""Data sets in COCO's JSON formats, as COCO and labelling tools write them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.data.class_lists import info_from_coco
from maskformer_jax.data.detect.found import Format, Found, choose_splits, describe_splits
from maskformer_jax.data.instance_json import ANNOTATIONS as INSTANCE_ANNOTATIONS
from maskformer_jax.data.panoptic_json import LAYOUTS as PANOPTIC_LAYOUTS
from maskformer_jax.errors import UserError
from maskformer_jax.file_search import files_below
from maskformer_jax.json_files import read_json

_DEEPEST = 3  # levels of folders below the root
_PATTERNS: dict[Format, tuple[str, ...]] = {
    "coco_panoptic": tuple(
        layout.annotations for layout in PANOPTIC_LAYOUTS if "{split}" in layout.annotations
    ),
    "coco_instances": INSTANCE_ANNOTATIONS,
}


def find_coco(data: Path) -> Found | None:
    """Look for instance or panoptic JSON files; panoptic ones come first.

    Args:
        data: the folder of the data set, or one JSON file of it.

    Raises:
        UserError: there are such files, but not where any known tool puts them.
    """
    files = [*_coco_files(data)]
    for kind in ("coco_panoptic", "coco_instances"):
        fitting = [file for file in files if file[0] == kind]
        if fitting:
            return _describe(kind, [(path, fields) for _, path, fields in fitting], data)
    return None


def _coco_files(data: Path) -> list[tuple[Format, Path, Any]]:
    if data.is_file():
        paths = [data]
    else:
        paths = [
            path
            for path in files_below(data)
            if path.suffix.lower() == ".json" and len(path.relative_to(data).parts) <= _DEEPEST + 1
        ]
    files: list[tuple[Format, Path, Any]] = []
    for path in paths:
        fields = read_json(path)
        needed = {"images", "annotations", "categories"}
        if not isinstance(fields, dict) or not needed <= fields.keys():
            continue
        annotations = fields["annotations"]
        panoptic = any(isinstance(one, dict) and "segments_info" in one for one in annotations)
        files.append(("coco_panoptic" if panoptic else "coco_instances", path, fields))
    return files


def _describe(kind: Format, files: Sequence[tuple[Path, Any]], data: Path) -> Found:
    roots = [data] if data.is_dir() else [data.parent.parent, data.parent]
    for root in roots:
        splits = {
            split: (path, fields)
            for path, fields in files
            if (split := _find_split(path.relative_to(root).as_posix(), kind)) is not None
        }
        if splits:
            break
    else:
        raise UserError(
            f"{files[0][0]}: is in COCO's format, but is expected at one of "
            + ", ".join(pattern.format(split="<split>") for pattern in _PATTERNS[kind])
            + " below the folder of the data set"
        )
    train, evaluation = choose_splits(list(splits), where=data)
    path, fields = splits[train.partition("[")[0]]
    try:
        info = info_from_coco(root.absolute().name, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: its categories are not in COCO's format ({type(error).__name__}: {error})"
        ) from error
    what = "panoptic" if kind == "coco_panoptic" else "instance"
    guesses = (
        f"{what} annotations in COCO's format: "
        + ", ".join(str(file.relative_to(root)) for file, _ in splits.values()),
        describe_splits(train, evaluation),
        f"{info.num_classes} classes from {path.name}",
    )
    return Found(kind, root, train, evaluation, info, guesses)


def _find_split(path: str, kind: Format) -> str | None:
    for pattern in _PATTERNS[kind]:
        expression = re.escape(pattern).replace(r"\{split\}", r"(?P<split>[^/]+)", 1)
        match = re.fullmatch(expression.replace(r"\{split\}", r"(?P=split)"), path)
        if match:
            return match["split"]
    return None
