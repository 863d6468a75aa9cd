"""What panoptic and instance JSON files in COCO's format have in common."""

import json
from pathlib import Path
from typing import Any

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.images import read_bytes
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error}); the file is damaged") from error


def image_name(image_id: Any, file_name: str) -> str:
    """Return an image's id as text, with the leading zeros that its file name has."""
    stem = Path(file_name).stem
    same = isinstance(image_id, int) and stem.isdigit() and int(stem) == image_id
    return stem if same else str(image_id)


def listed_size(image: dict[str, Any]) -> Size:
    """Return the (height, width) in an entry of `images`."""
    return int(image["height"]), int(image["width"])


def labels_by_category_id(fields: Any, info: DatasetInfo, path: Path) -> dict[int, int]:
    """Map the category ids of a data set to labels 0..K-1.

    Raises:
        UserError: the file lists a category that the data set does not have.
    """
    labels = {category.category_id: i for i, category in enumerate(info.categories)}
    for category in fields.get("categories", ()):
        if category["id"] not in labels:
            raise UserError(
                f"{path}: category {category['id']} ('{category.get('name', '?')}') is not in "
                f"'{info.name}'; is config.data.dataset another data set?"
            )
    return labels


def check_listed_size(shape: tuple[int, ...], size: Size, *, image: Path, listing: str) -> None:
    """Raise a UserError unless a decoded image has the size that the JSON file states."""
    if shape[:2] != size:
        raise UserError(
            f"{image}: the image is {shape[0]} x {shape[1]} (height x width), but {listing} says "
            f"{size[0]} x {size[1]}"
        )


def wrong_format(path: Path, kind: str, error: Exception) -> UserError:
    """Return the error for a JSON file that lacks what COCO's format has."""
    return UserError(
        f"{path}: not {kind} annotation file in COCO's format ({type(error).__name__}: {error})"
    )
