"""Predictions in the formats that the official tools of the data sets read."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.run_lengths import encode_masks
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.pictures import compare
from maskformer_jax.evaluation.result import list_instances, list_segments
from maskformer_jax.pictures.files import encode_image

_SMALLEST_SCORE = 1e-4  # of an instance that is worth a line


class PredictionFiles:
    """Writes the PNGs of each image as it comes, and the JSON files at the end.

    Args:
        folder: Where to write.
        formats: Some of `formats.FORMATS`.
        categories: K categories in label order.
    """

    def __init__(
        self, folder: Path, formats: Collection[str], categories: Sequence[Category]
    ) -> None:
        self._folder = folder
        self._formats = set(formats)
        self._categories = tuple(categories)
        self._ids = np.array([category.category_id for category in categories])
        # File name to its records, in the order of the images.
        self.records: dict[str, list[dict[str, Any]]] = {}

    def add(self, example: EvalExample, outputs: Outputs) -> None:
        """Writes what there is of one image.

        Raises:
            UserError: a file cannot be written.
        """
        labels, name = outputs.semantic, f"{example.image_id}.png"
        if "labels" in self._formats and labels is not None:
            self._write(f"predictions/{name}", _greyscale(labels, len(self._categories) - 1))
        if "pictures" in self._formats:
            picture = compare(example, outputs, self._categories)
            if picture is not None:
                self._write(f"pictures/{name}", encode_image(picture))
        if "category-ids" in self._formats and labels is not None:
            ids = np.where(labels < 0, 0, self._ids[labels])
            self._write(f"category_ids/{name}", _greyscale(ids, int(self._ids.max())))
        if "coco" in self._formats:
            self.take_over(self._coco_records(example, outputs))
            if outputs.panoptic is not None:
                self._write(f"panoptic/{name}", encode_ids(outputs.panoptic.id_map))

    def take_over(self, records: Mapping[str, list[dict[str, Any]]]) -> None:
        """Adds the records of another one of these, whose PNGs are written."""
        for file, more in records.items():
            self.records.setdefault(file, []).extend(more)

    def finish(self) -> None:
        """Writes the JSON files.

        Raises:
            UserError: a file cannot be written.
        """
        for file, records in self.records.items():
            content: Any = records
            if file == "panoptic.json":
                categories = [
                    {"id": c.category_id, "name": c.name, "isthing": int(c.is_thing)}
                    for c in self._categories
                ]
                content = {"annotations": records, "categories": categories}
            write_atomically(self._folder / file, json.dumps(content))

    def _coco_records(
        self, example: EvalExample, outputs: Outputs
    ) -> dict[str, list[dict[str, Any]]]:
        image_id = coco_image_id(example.image_id)
        files: dict[str, list[dict[str, Any]]] = {}
        segments, instances = list_segments(outputs), list_instances(outputs)
        if outputs.semantic is not None and segments is None:
            labels = np.unique(outputs.semantic[outputs.semantic >= 0])
            files["sem_seg_predictions.json"] = [
                {
                    "file_name": example.image_id,
                    "category_id": int(self._ids[label]),
                    "segmentation": rle,
                }
                for label, rle in zip(
                    labels, text_rles(outputs.semantic == labels[:, None, None]), strict=True
                )
            ]
        if segments is not None:
            infos = [
                {"id": segment.segment_id, "category_id": int(self._ids[segment.label])}
                for segment in segments
            ]
            files["panoptic.json"] = [
                {
                    "image_id": image_id,
                    "file_name": f"{example.image_id}.png",
                    "segments_info": infos,
                }
            ]
        if instances is not None:
            sure = [instance for instance in instances if instance.score >= _SMALLEST_SCORE]
            masks = np.array([instance.mask for instance in sure], bool)
            files["instances.json"] = [
                {
                    "image_id": image_id,
                    "category_id": int(self._ids[instance.label]),
                    "segmentation": rle,
                    "score": instance.score,
                }
                for instance, rle in zip(sure, text_rles(masks), strict=True)
            ]
        return files

    def _write(self, name: str, data: bytes) -> None:
        write_atomically(self._folder / name, data)


def encode_ids(id_map: Integer[np.ndarray, "h w"]) -> bytes:
    """A PNG in COCO's way of writing segment ids, id = R + 256 G + 65536 B."""
    planes: UInt8[np.ndarray, "h w 3"] = np.stack(
        [id_map >> shift & 255 for shift in (0, 8, 16)], axis=-1
    ).astype(np.uint8)
    return encode_image(planes)


def coco_image_id(image_id: str) -> int | str:
    """COCO's images go by numbers; the names of other data sets stay what they are."""
    stem = image_id.rpartition("/")[2]
    return int(stem) if stem.isdecimal() else image_id


def text_rles(masks: np.ndarray) -> list[dict[str, Any]]:
    """Run lengths of masks [n, h, w] that can be written as JSON."""
    return [{**rle, "counts": rle["counts"].decode()} for rle in encode_masks(masks)]


def _greyscale(values: Integer[np.ndarray, "h w"], highest: int) -> bytes:
    return encode_image(values.astype(np.uint8 if highest <= 255 else np.uint16))
