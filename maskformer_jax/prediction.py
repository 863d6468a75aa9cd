"""Predictions for image files: overlay pictures, label PNGs and a JSON of segments."""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import Category
from maskformer_jax.data.images import decode_image, read_bytes
from maskformer_jax.errors import UserError
from maskformer_jax.progress import Progress
from maskformer_jax.visualize import overlay_with_legend

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})


@runtime_checkable
class Predictor(Protocol):
    """What is needed of a loaded model: its categories and a way from an image to labels."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in label order."""

    def predict(self, image: Any) -> Any:
        """What it says about an RGB uint8 [H, W, 3] image; `.semantic` are labels [H, W]."""


class Segment(TypedDict):
    """The pixels of one class in one image."""

    category: str
    category_id: int  # the data set's own id
    label: int  # 0..K-1, the value in the label PNG
    area: int  # pixels
    share: float  # of the image, 0..1
    bbox: list[int]  # x, y, width, height of the tightest box


class ImageRecord(TypedDict):
    """One entry of `predictions.json`."""

    file: str
    height: int
    width: int
    overlay: str  # relative to the output folder
    labels: str  # likewise
    segments: list[Segment]  # the largest first


def predict_paths(
    loaded: Predictor,
    inputs: Sequence[Path],
    output: Path,
    *,
    overlay_format: Literal["png", "jpg"] = "png",
    alpha: float = 0.5,
) -> list[ImageRecord]:
    """Predict images and write what was found to the folder `output`.

    For each image `<stem>_overlay.png` and `<stem>_labels.png` (labels 0..K-1 as they are, 8 bits,
    or 16 where K > 255), in the subfolder that the image has in its input folder; images of the
    same stem get distinct names. At the end `predictions.json`, a list of `ImageRecord`. Every
    file appears whole or not at all.

    Args:
        loaded: the model, as from `load_pretrained`.
        inputs: image files, or folders that are searched recursively.
        output: folder, made where needed.
        overlay_format: file format of the pictures.
        alpha: strength of the colours, 0..1.

    Raises:
        UserError: an input does not exist, holds no image or cannot be read, or a file cannot be
            written. What was written for the images before stays; `predictions.json` does not.
    """
    images = find_images(inputs, output=output)
    names = name_outputs([relative for _, relative in images])
    targets = {
        path: (f"{name}_overlay.{overlay_format}", f"{name}_labels.png")
        for (path, _), name in zip(images, names, strict=True)
    }
    _refuse_overwriting(targets, output)
    index = output / "predictions.json"
    records: list[ImageRecord] = []
    with Progress(len(images), description="predict", unit="image") as progress:
        for path, (overlay_name, labels_name) in targets.items():
            image = decode_image(read_bytes(path), name=str(path))
            label_map = np.asarray(loaded.predict(image).semantic)
            if not records:
                # An old index would describe other files than those that are there from now on.
                _remove(index)
            picture = overlay_with_legend(image, label_map, loaded.categories, alpha=alpha)
            labels = encode_labels(label_map, num_classes=len(loaded.categories))
            write_atomically(output / overlay_name, _encode(picture, overlay_format))
            write_atomically(output / labels_name, labels)
            height, width = label_map.shape
            records.append(
                ImageRecord(
                    file=str(path),
                    height=height,
                    width=width,
                    overlay=overlay_name,
                    labels=labels_name,
                    segments=describe_segments(label_map, loaded.categories),
                )
            )
            progress.update()
    lines = ",\n".join(json.dumps(record) for record in records)
    write_atomically(index, f"[\n{lines}\n]\n")
    return records


def find_images(inputs: Sequence[Path], *, output: Path) -> list[tuple[Path, Path]]:
    """The image files of `inputs`, each once, with its path relative to its input.

    Folders are searched recursively and sorted; what lies in `output` inside of them is left out,
    so that a second run does not take the pictures of the first for its input.

    Raises:
        UserError: an input does not exist, is no image, or there is no image at all.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for given in inputs:
        if given.is_dir():
            if given.resolve() == output.resolve():
                raise UserError(f"the output folder {output} is also an input; choose another one")
            for path in sorted(given.rglob("*")):
                if (
                    path.suffix.lower() in IMAGE_SUFFIXES
                    and path.is_file()
                    and output.resolve() not in path.resolve().parents
                ):
                    found.setdefault(path.resolve(), (path, path.relative_to(given)))
        elif not given.exists():
            raise UserError(f"{given} does not exist; give image files or folders of images")
        elif given.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{given} is not an image; known are {_suffix_list()}")
        else:
            found.setdefault(given.resolve(), (given, Path(given.name)))
    if not found:
        places = ", ".join(map(str, inputs)) or "no path at all"
        raise UserError(f"no image in {places}; known are {_suffix_list()}")
    return list(found.values())


def name_outputs(relative_paths: Iterable[Path]) -> list[str]:
    """A distinct name for each image: its path without suffix, and more where that is taken.

    The first of several images of one name keeps it, the next has its suffix added (`a_png`),
    then come numbers. Names that differ in case only count as one, as on some file systems.
    """
    taken: set[str] = set()
    names = []
    for path in relative_paths:
        plain = path.with_suffix("").as_posix()
        with_suffix = f"{plain}_{path.suffix[1:]}"
        name, number = plain, 1
        while name.casefold() in taken:
            name = with_suffix if number == 1 else f"{with_suffix}_{number}"
            number += 1
        taken.add(name.casefold())
        names.append(name)
    return names


def describe_segments(
    label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]
) -> list[Segment]:
    """One segment for each class present in a label map, the largest first; void has none."""
    segments = []
    labels, areas = np.unique(label_map[label_map >= 0], return_counts=True)
    for label, area in zip(labels.tolist(), areas.tolist(), strict=True):
        mask = label_map == label
        (top, bottom), (left, right) = (
            np.flatnonzero(mask.any(axis=axis))[[0, -1]].tolist() for axis in (1, 0)
        )
        segments.append(
            Segment(
                category=categories[label].name,
                category_id=categories[label].category_id,
                label=label,
                area=area,
                share=area / label_map.size,
                bbox=[left, top, right - left + 1, bottom - top + 1],
            )
        )
    return sorted(segments, key=lambda segment: -segment["area"])


def encode_labels(label_map: Integer[np.ndarray, "h w"], *, num_classes: int) -> bytes:
    """A greyscale PNG of the labels, 8 bits, or 16 where K > 255; void is the largest value."""
    dtype = np.uint16 if num_classes > 255 else np.uint8
    # Casting -1 gives the largest value of an unsigned type.
    return _encode(label_map.astype(dtype), "png")


def _encode(picture: UInt8[np.ndarray, "h w 3"] | Integer[np.ndarray, "h w"], kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "jpg":
        Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    else:
        Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _refuse_overwriting(targets: dict[Path, tuple[str, str]], output: Path) -> None:
    """Stop where a result would take the place of one of the images themselves."""
    images = {path.resolve() for path in targets}
    for names in targets.values():
        for name in names:
            if (output / name).resolve() in images:
                raise UserError(
                    f"{output / name} is an input and would be overwritten; "
                    "choose another output folder"
                )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot replace {path}: {error.strerror or error}") from error


def _suffix_list() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))
