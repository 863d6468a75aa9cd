"""Class names, colours and ids of data sets by name (metadata/*.json)."""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from maskformer_jax.categories import Category, DatasetInfo
from maskformer_jax.data import label_names
from maskformer_jax.errors import UserError

_METADATA = resources.files("maskformer_jax.data") / "metadata"


def list_datasets() -> list[str]:
    """Return the names that `load_dataset_info` knows, sorted."""
    names = (entry.name for entry in _METADATA.iterdir())
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load_dataset_info(name: str) -> DatasetInfo:
    """Read the metadata of a data set.

    Args:
        name: one of `list_datasets()`, the path of a JSON file in the same format (see
            metadata/camvid.json) that describes your own data set, or the path of the
            `config.json` of a Hugging Face model, which names its classes.

    Raises:
        UserError: there is no such data set, or the JSON file has another format.
    """
    if name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise UserError(
                f"config.data.dataset is '{name}', but there is no file {path.absolute()}"
            )
        return _parse_info(path.read_text("utf-8"), origin=str(path))
    known = list_datasets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UserError(
            f"config.data.dataset is '{name}', but must be one of {', '.join(known)}, or the path "
            f"of a .json file that lists your classes{hint}"
        )
    text = (_METADATA / f"{name}.json").read_text("utf-8")
    return _parse_info(text, origin=f"metadata of {name}")


def find_dataset(names: Sequence[str]) -> str | None:
    """Return the data set whose classes have these names, up to spelling; None if there is none."""
    for dataset in list_datasets():
        if label_names.names_match(names, load_dataset_info(dataset)):
            return dataset
    return None


def _parse_info(text: str, *, origin: str) -> DatasetInfo:
    try:
        fields = json.loads(text)
        if "id2label" in fields:
            return label_names.info_from_names(
                Path(origin).absolute().parent.name, label_names.parse_id2label(fields["id2label"])
            )
        categories = tuple(_parse_category(entry) for entry in fields["categories"])
        info = DatasetInfo(
            name=str(fields["name"]),
            categories=categories,
            ignore_label=fields["ignore_label"],
            label_maps=_parse_label_maps(fields.get("label_maps", "category_id")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{origin}: not a description of a data set ({type(error).__name__}: {error}); it must "
            'have "name", "ignore_label" and "categories", each with "name", "color" [r, g, b], '
            '"is_thing" and "category_id"'
        ) from error
    _check_ids(info, origin=origin)
    return info


def _parse_label_maps(text: str) -> Literal["category_id", "label"]:
    if text == "category_id":
        return "category_id"
    if text == "label":
        return "label"
    raise ValueError(f'"label_maps" is {text!r}, but must be "category_id" or "label"')


def _parse_category(entry: dict[str, Any]) -> Category:
    red, green, blue = (int(value) for value in entry["color"])
    return Category(
        name=str(entry["name"]),
        color=(red, green, blue),
        is_thing=bool(entry["is_thing"]),
        category_id=int(entry["category_id"]),
    )


def _check_ids(info: DatasetInfo, *, origin: str) -> None:
    ids = [category.category_id for category in info.categories]
    void = [] if info.ignore_label is None else [info.ignore_label]
    used = [*ids, *void]
    counts = Counter(ids) | Counter([*info.stored_values, *void])  # the larger count of each value
    repeated = sorted(value for value, count in counts.items() if count > 1)
    if not ids or repeated or min(used) < 0 or max(used) > 65535:
        raise UserError(
            f"{origin}: there must be at least one class, and category ids and ignore_label must "
            f"be distinct values in 0..65535; repeated are {repeated or 'none'}"
        )
