"""Predicting image files: overlay pictures, label and panoptic PNGs, and a JSON of segments."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from maskformer_jax.atomic_write import require_writable, write_atomically
from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.drawing import draw_result, explain_empty
from maskformer_jax.evaluation.result import Result
from maskformer_jax.image_files import encode_image, encode_palette
from maskformer_jax.prediction.inputs import find_images, name_outputs, refuse_overwriting
from maskformer_jax.prediction.records import (
    ImageRecord,
    describe_instances,
    describe_segments,
)
from maskformer_jax.progress import Progress


@runtime_checkable
class Predictor(Protocol):
    """The interface of a loaded model that prediction needs."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The classes in label order."""

    def predict_images(
        self, images: Sequence[Any], *, on_error: Callable[[int, UserError], None] | None = None
    ) -> Iterator[tuple[int, np.ndarray, Result]]:
        """The index, the pixels (RGB uint8 [H, W, 3]) and the result of each file, in any order.

        Files that cannot be read are handed to `on_error`.
        """


def predict_paths(
    loaded: Predictor,
    inputs: Sequence[Path],
    output: Path,
    *,
    overlay_format: Literal["png", "jpg"] = "png",
    alpha: float = 0.5,
    settings: EvalConfig | None = None,
) -> list[ImageRecord]:
    """Predict images and write the results to the folder `output`.

    For each image this writes `<stem>_overlay.png`, `<stem>_labels.png` (labels 0..K-1 in 8 bits
    with the classes' colours as palette, or in 16 bits if K > 255) and, for panoptic models,
    `<stem>_panoptic.png` (segment ids as COCO writes them, R + 256 G + 65536 B). Subfolders of an
    input folder are reproduced, and images with equal stems get distinct names.
    `predictions.json`, a list of `ImageRecord`, comes last. All files are written atomically.

    Args:
        loaded: the model, for example from `load_pretrained`.
        inputs: image files, or folders to search recursively.
        output: folder, created if missing.
        overlay_format: file format of the overlays.
        alpha: opacity of the overlays' colours, 0..1.
        settings: the thresholds of the model, to say on a picture without segments why.

    Returns:
        The records of `predictions.json`.

    Raises:
        UserError: an input does not exist or contains no image, or a file cannot be written: then
            files of earlier images stay, but there is no `predictions.json`. Or images cannot be
            read: then the results of all others and `predictions.json` have been written.
    """
    require_writable(output)
    images = find_images(inputs, output=output)
    targets: dict[Path, tuple[str, ...]] = {
        path: (
            f"{name}_overlay.{overlay_format}",
            f"{name}_labels.png",
            f"{name}_panoptic.png",
        )
        for (path, _), name in zip(images, name_outputs([file for _, file in images]), strict=True)
    }
    refuse_overwriting(targets, output)
    index = output / "predictions.json"
    records: dict[int, ImageRecord] = {}
    paths = list(targets)
    failures: dict[int, UserError] = {}
    with Progress(len(images), description="predict", unit="image") as progress:
        for number, image, result in loaded.predict_images(paths, on_error=failures.__setitem__):
            path, names = paths[number], targets[paths[number]]
            if not records:
                # The index of an earlier run would no longer describe the files beside it.
                _remove(index)
            note = None if settings is None else explain_empty(result, settings)
            picture = draw_result(image, result, loaded.categories, alpha=alpha, note=note)
            write_atomically(output / names[0], encode_image(picture, overlay_format))
            record = ImageRecord(
                file=str(path), height=image.shape[0], width=image.shape[1], overlay=names[0]
            )
            if result.semantic is not None:
                labels = encode_labels(result.semantic, loaded.categories)
                write_atomically(output / names[1], labels)
                record["labels"] = names[1]
            segments = describe_segments(result, loaded.categories)
            if segments is not None:
                record["segments"] = segments
            if result.panoptic is not None:
                write_atomically(output / names[2], encode_image(encode_ids(result.panoptic)))
                record["panoptic"] = names[2]
            if result.instances is not None:
                record["instances"] = describe_instances(result, loaded.categories)
            records[number] = record
            progress.update()
    ordered = [records[number] for number in sorted(records)]
    if ordered:
        lines = ",\n".join(json.dumps(record) for record in ordered)
        write_atomically(index, f"[\n{lines}\n]\n")
    if failures:
        raise UserError(
            f"{len(failures)} of {len(paths)} images could not be read, the results of the others "
            f"are in {output}:\n  " + "\n  ".join(str(failures[i]) for i in sorted(failures))
        )
    return ordered


def encode_labels(label_map: Integer[np.ndarray, "h w"], categories: Sequence[Category]) -> bytes:
    """A PNG of the labels: 8 bits with the classes' colours as palette, or 16 bits if K > 255.

    Void is the largest value.
    """
    if len(categories) > 255:
        # -1 wraps around to the largest value of an unsigned type.
        return encode_image(label_map.astype(np.uint16))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(categories)] = [category.color for category in categories]
    return encode_palette(label_map.astype(np.uint8), palette)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot replace {path}: {error.strerror or error}") from error
