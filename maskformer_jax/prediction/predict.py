"""Predictions for image files: overlay pictures, label and panoptic PNGs, and JSON of segments."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer, UInt8

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import Category
from maskformer_jax.data.images import load_image
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.prediction_files import encode_ids
from maskformer_jax.evaluation.result import Result
from maskformer_jax.pictures.files import encode_image
from maskformer_jax.pictures.labels import overlay_with_legend
from maskformer_jax.pictures.segments import instance_overlay, panoptic_overlay
from maskformer_jax.prediction.records import (
    ImageRecord,
    describe_instances,
    describe_panoptic,
    describe_segments,
)
from maskformer_jax.progress import Progress

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})
_SURE = 0.5  # score of an instance that is drawn


@runtime_checkable
class Predictor(Protocol):
    """What is needed of a loaded model: its categories and a way from an image to its result."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in label order."""

    def predict(self, image: Any) -> Result:
        """What it says about an RGB uint8 [H, W, 3] image, as a `Result`."""


def predict_paths(
    loaded: Predictor,
    inputs: Sequence[Path],
    output: Path,
    *,
    overlay_format: Literal["png", "jpg"] = "png",
    alpha: float = 0.5,
) -> list[ImageRecord]:
    """Predict images and write what was found to the folder `output`.

    For each image `<stem>_overlay.png`, `<stem>_labels.png` (labels 0..K-1 as they are, 8 bits, or
    16 where K > 255), and of a panoptic model `<stem>_panoptic.png` (segment ids as COCO writes
    them, R + 256 G + 65536 B), in the subfolder that the image has in its input folder; images of
    the same stem get distinct names. At the end `predictions.json`, a list of `ImageRecord`. Every
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
    targets: dict[Path, tuple[str, ...]] = {
        path: (
            f"{name}_overlay.{overlay_format}",
            f"{name}_labels.png",
            f"{name}_panoptic.png",
        )
        for (path, _), name in zip(images, name_outputs([file for _, file in images]), strict=True)
    }
    _refuse_overwriting(targets, output)
    index = output / "predictions.json"
    records: list[ImageRecord] = []
    with Progress(len(images), description="predict", unit="image") as progress:
        for path, names in targets.items():
            image = load_image(path)
            result = loaded.predict(image)
            if not records:
                # An old index would describe other files than those that are there from now on.
                _remove(index)
            picture = draw_result(image, result, loaded.categories, alpha=alpha)
            write_atomically(output / names[0], encode_image(picture, overlay_format))
            record = ImageRecord(
                file=str(path), height=image.shape[0], width=image.shape[1], overlay=names[0]
            )
            if result.semantic is not None:
                labels = encode_labels(result.semantic, num_classes=len(loaded.categories))
                write_atomically(output / names[1], labels)
                record["labels"] = names[1]
                record["segments"] = describe_segments(result.semantic, loaded.categories)
            if result.panoptic is not None:
                write_atomically(output / names[2], encode_ids(result.panoptic))
                record["panoptic"] = names[2]
                record["segments"] = describe_panoptic(result, loaded.categories)
            if result.instances is not None:
                record["instances"] = describe_instances(result, loaded.categories)
            records.append(record)
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


def draw_result(
    image: UInt8[np.ndarray, "h w 3"],
    result: Result,
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture that says most: segments, else classes, else the instances one can be sure of."""
    if result.segments is not None:
        labels = {segment.segment_id: segment.label for segment in result.segments}
        return panoptic_overlay(image, result.panoptic, labels, categories, alpha=alpha)
    if result.semantic is not None:
        return overlay_with_legend(image, result.semantic, categories, alpha=alpha)
    sure = [instance for instance in result.instances or () if instance.score >= _SURE]
    masks = np.array([instance.mask for instance in sure], bool).reshape(-1, *image.shape[:2])
    labels_of = [instance.label for instance in sure]
    return instance_overlay(image, masks, labels_of, categories, alpha=alpha)


def encode_labels(label_map: Integer[np.ndarray, "h w"], *, num_classes: int) -> bytes:
    """A greyscale PNG of the labels, 8 bits, or 16 where K > 255; void is the largest value."""
    dtype = np.uint16 if num_classes > 255 else np.uint8
    # Casting -1 gives the largest value of an unsigned type.
    return encode_image(label_map.astype(dtype))


def _refuse_overwriting(targets: dict[Path, tuple[str, ...]], output: Path) -> None:
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
