"""Class names, colours and ids of data sets: by name (metadata/*.json), or from one's own file."""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from maskformer_jax.categories import Category, Color, DatasetInfo
from maskformer_jax.config.paths import CLASS_FILES, is_class_file
from maskformer_jax.data import class_lists, label_names
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_json

_METADATA = resources.files("maskformer_jax.data") / "metadata"


def list_datasets() -> list[str]:
    """Return the names that `load_dataset_info` knows, sorted."""
    names = (entry.name for entry in _METADATA.iterdir())
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load_dataset_info(name: str) -> DatasetInfo:
    """Read the classes of a data set.

    Args:
        name: one of `list_datasets()`, or the path of a file that describes your own data set: a
            JSON file in the format of metadata/camvid.json, an instance or panoptic JSON file of
            COCO's format, the `config.json` of a Hugging Face model, or a list of names or colours
            (see `class_lists`).

    Raises:
        UserError: there is no such data set, or the file has another format.
    """
    if is_class_file(name):
        path = Path(name).expanduser()
        if not path.is_file():
            raise UserError(
                f"config.data.dataset is '{name}', but there is no file {path.absolute()}"
            )
        return _read_info(path)
    known = list_datasets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UserError(
            f"config.data.dataset is '{name}', but must be one of {', '.join(known)}, or the path "
            f"of a file that lists your classes ({', '.join(CLASS_FILES)}){hint}"
        )
    text = (_METADATA / f"{name}.json").read_text("utf-8")
    return _parse_info(json.loads(text), origin=f"metadata of {name}")


def find_dataset(names: Sequence[str]) -> str | None:
    """Return the data set whose classes have these names, up to spelling; None if there is none."""
    for dataset in list_datasets():
        if label_names.names_match(names, load_dataset_info(dataset)):
            return dataset
    return None


def _read_info(path: Path) -> DatasetInfo:
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            fields = read_json(path)
        except UserError as error:
            raise UserError(f"{error}, so it is not a description of a data set") from error
        return _parse_info(fields, origin=str(path))
    if suffix == ".png":
        return class_lists.read_palette(path)
    return class_lists.read_class_text(path)


def _parse_info(fields: Any, *, origin: str) -> DatasetInfo:
    try:
        if "id2label" in fields or "model_type" in fields:
            folder = Path(origin).absolute().parent.name
            return label_names.info_from_names(folder, label_names.read_id2label(fields))
        if "annotations" in fields:
            path = Path(origin).absolute()
            # Roboflow's files all have one name.
            name = path.parent.name if path.stem.startswith("_") else path.stem
            info = class_lists.info_from_coco(name, fields)
        else:
            info = _parse_description(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{origin}: not a description of a data set ({type(error).__name__}: {error}); it must "
            'have "name" and "categories", each with a "name" and, where they differ from the '
            'default, "color" [r, g, b], "is_thing" (false) and "category_id" (its place in the '
            'list), and may have "ignore_label" (255)'
        ) from error
    _check_info(info, origin=origin)
    return info


def _parse_description(fields: Any) -> DatasetInfo:
    categories = tuple(_parse_category(x, label) for label, x in enumerate(fields["categories"]))
    ids = [category.category_id for category in categories]
    ignore_label = fields.get("ignore_label", label_names.ignore_label_for(ids))
    if ignore_label is not None and not _is_whole(ignore_label):
        raise ValueError(f'"ignore_label" is {ignore_label!r}, but must be a whole number or null')
    return DatasetInfo(
        name=str(fields["name"]),
        categories=categories,
        ignore_label=ignore_label,
        label_maps=_parse_label_maps(fields.get("label_maps", "category_id")),
        ignore_colors=tuple(_parse_color(color) for color in fields.get("ignore_colors", ())),
    )


def _parse_label_maps(text: Any) -> Literal["category_id", "label", "color"]:
    known: tuple[Literal["category_id", "label", "color"], ...] = ("category_id", "label", "color")
    for kind in known:
        if text == kind:
            return kind
    raise ValueError(f'"label_maps" is {text!r}, but must be one of {", ".join(known)}')


def _parse_category(entry: dict[str, Any], label: int) -> Category:
    category_id, is_thing = entry.get("category_id", label), entry.get("is_thing", False)
    if not _is_whole(category_id):
        raise ValueError(f'"category_id" is {category_id!r}, but must be a whole number')
    if is_thing not in (True, False):
        raise ValueError(f'"is_thing" is {is_thing!r}, but must be true or false')
    return Category(
        name=str(entry["name"]),
        color=_parse_color(entry.get("color", label_names.default_color(label))),
        is_thing=bool(is_thing),
        category_id=category_id,
    )


def _parse_color(values: Any) -> Color:
    red, green, blue = values
    if not all(_is_whole(value) and 0 <= value <= 255 for value in values):
        raise ValueError(f'"color" is {values}, but must be [r, g, b], whole numbers in 0..255')
    return red, green, blue


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_info(info: DatasetInfo, *, origin: str) -> None:
    if not info.categories:
        raise UserError(f"{origin}: there must be at least one class")
    ids = [category.category_id for category in info.categories]
    if min(ids) < 0:
        raise UserError(f"{origin}: category ids must not be negative; {min(ids)} is")
    void = [] if info.ignore_label is None else [info.ignore_label]
    counts = Counter(ids) | Counter([*info.stored_values, *void])  # the larger count of each value
    repeated = sorted(value for value, count in counts.items() if count > 1)
    if repeated:
        raise UserError(
            f"{origin}: category ids and ignore_label must be distinct; repeated are {repeated}"
        )
    colors = [category.color for category in info.categories] + list(info.ignore_colors)
    if info.label_maps == "color" and len(set(colors)) < len(colors):
        raise UserError(
            f'{origin}: "label_maps" is "color", so the colours of classes must be distinct'
        )
