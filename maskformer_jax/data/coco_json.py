"""What panoptic and instance JSON files in COCO's format have in common."""

from collections import Counter
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.label_names import is_placeholder, same_name
from maskformer_jax.data.unique_names import require_unique
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

ImageId = int | str


class ListedImage(NamedTuple):
    """An entry of `images`."""

    source_id: ImageId  # as it is in the file
    name: str  # `image_name` of it
    file_name: str
    size: Size | None  # None where the file does not say


def list_images(fields: Any, path: Path) -> dict[ImageId, ListedImage]:
    """Read `images`, by their ids.

    Raises:
        UserError: two images have the same id, or an id is neither a number nor text.
        KeyError, TypeError, ValueError: an entry has another form.
    """
    images: dict[ImageId, ListedImage] = {}
    for entry in fields["images"]:
        image_id, file_name = entry["id"], str(entry["file_name"])
        if isinstance(image_id, bool) or not isinstance(image_id, int | str):
            raise UserError(
                f"{path}: image '{file_name}' has id {image_id!r}, not a number or text"
            )
        if image_id in images:
            raise UserError(
                f"{path}: lists two images with id {image_id!r}, '{images[image_id].file_name}' "
                f"and '{file_name}'; their annotations cannot be told apart. Number images anew "
                "(merged files often repeat ids)"
            )
        # Windows tools write backslashes.
        file_name = file_name.replace("\\", "/")
        size = _read_size(entry)
        images[image_id] = ListedImage(image_id, image_name(image_id, file_name), file_name, size)
    require_unique([image.name for image in images.values()], what="image id", where=str(path))
    return images


def _read_size(entry: Any) -> Size | None:
    height, width = entry.get("height"), entry.get("width")
    return None if height is None or width is None else (int(height), int(width))


def image_name(image_id: ImageId, file_name: str) -> str:
    """Return an image's id as text, with the leading zeros that its file name has."""
    stem = PurePath(file_name).stem
    same = isinstance(image_id, int) and stem.isdecimal() and int(stem) == image_id
    return stem if same else str(image_id)


def labels_by_category_id(fields: Any, info: DatasetInfo, path: Path) -> dict[int, int]:
    """Map the category ids of a data set to labels 0..K-1.

    Categories that no annotation uses may be unknown: tools add parents and placeholders.

    Raises:
        UserError: annotations use a category that the data set does not have, or that has another
            name there, or is a thing in one of the two and stuff in the other.
    """
    labels = {category.category_id: i for i, category in enumerate(info.categories)}
    used = _used_categories(fields["annotations"])
    listed = fields.get("categories", ())
    names = Counter(str(entry.get("name", "")) for entry in listed)
    for entry in listed:
        category_id, name = entry["id"], str(entry.get("name", "?"))
        if category_id not in labels:
            if category_id in used:
                raise UserError(
                    f"{path}: category {category_id} ('{name}') is not in '{info.name}'; is "
                    "config.data.dataset another data set?"
                )
            continue
        ours = info.categories[labels[category_id]]
        tells = names[name] == 1 and not is_placeholder(name)
        if tells and not same_name(name, ours.name):
            raise UserError(
                f"{path}: category {category_id} is '{name}', but '{ours.name}' in '{info.name}'; "
                "is config.data.dataset another data set?"
            )
        if "isthing" in entry and bool(entry["isthing"]) != ours.is_thing:
            kinds = ("stuff", "a thing")
            raise UserError(
                f"{path}: category {category_id} ('{name}') is {kinds[bool(entry['isthing'])]} "
                f"(isthing {entry['isthing']}), but {kinds[ours.is_thing]} in '{info.name}'"
            )
    return labels


def check_listed_size(
    shape: tuple[int, ...], size: Size | None, *, image: Path, listing: str
) -> None:
    """Raise a UserError unless a decoded image has the size that the JSON file states, if any."""
    if size is not None and shape[:2] != size:
        swapped = " (is the image rotated by its EXIF tag?)" if shape[1::-1] == size else ""
        raise UserError(
            f"{image}: the image is {shape[0]} x {shape[1]} (height x width), but {listing} says "
            f"{size[0]} x {size[1]}{swapped}"
        )


def wrong_format(path: Path, kind: str, error: Exception) -> UserError:
    """Return the error for a JSON file that lacks what COCO's format has."""
    return UserError(
        f"{path}: not {kind} annotation file in COCO's format ({type(error).__name__}: {error})"
    )


def _used_categories(annotations: Any) -> set[Any]:
    """The category ids of instance annotations, and of the segments of panoptic ones."""
    used = set()
    for annotation in annotations:
        segments = annotation.get("segments_info")
        used |= {one["category_id"] for one in (segments if segments is not None else [annotation])}
    return used
