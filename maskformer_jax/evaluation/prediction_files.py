"""Saving predictions in the formats of the official evaluation tools."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.panoptic import encode_ids
from maskformer_jax.data.run_lengths import encode_masks
from maskformer_jax.data.unique_names import inside_folder
from maskformer_jax.evaluation.drawing import draw_comparison
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.result import (
    ClassesView,
    FoundInstance,
    Result,
    Segment,
    SegmentsView,
    to_result,
)
from maskformer_jax.image_files import encode_image
from maskformer_jax.types import VOID

_MIN_LISTED_SCORE = 1e-4  # of an instance


class PredictionFiles:
    """Writes the PNGs of each image immediately, and the JSON files at the end.

    Args:
        folder: where to write.
        formats: any of `prediction_formats.FORMATS`.
        categories: K categories in label order.
    """

    def __init__(
        self, folder: Path, formats: Collection[str], categories: Sequence[Category]
    ) -> None:
        self._folder = folder
        self._formats = set(formats)
        self._categories = tuple(categories)
        self._ids = np.array([category.category_id for category in categories])
        # JSON file name to its records, in the order of the images.
        self.records: dict[str, list[dict[str, Any]]] = {}

    def add(self, example: EvalExample, outputs: Outputs) -> None:
        """Write the PNGs of one image and collect its JSON records.

        Raises:
            UserError: a file cannot be written.
        """
        labels, name = outputs.semantic, f"{inside_folder(example.image_id)}.png"
        if "labels" in self._formats and labels is not None:
            self._write(f"predictions/{name}", _greyscale(labels, len(self._categories) - 1))
        if "pictures" in self._formats:
            picture = draw_comparison(example, outputs, self._categories)
            if picture is not None:
                self._write(f"pictures/{name}", encode_image(picture))
        if "category-ids" in self._formats and labels is not None:
            ids = np.where(labels == VOID, 0, self._ids[labels])
            self._write(f"category_ids/{name}", _greyscale(ids, int(self._ids.max())))
        if "coco" in self._formats:
            self.take_over(self._coco_records(example, to_result(outputs)))
            if outputs.panoptic is not None:
                self._write(f"panoptic/{name}", encode_image(encode_ids(outputs.panoptic.id_map)))

    def take_over(self, records: Mapping[str, list[dict[str, Any]]]) -> None:
        """Add the records of another process, which has written its own PNGs."""
        for file, more in records.items():
            self.records.setdefault(file, []).extend(more)

    def finish(self) -> None:
        """Write the JSON files.

        Raises:
            UserError: a file cannot be written.
        """
        for file, found in self.records.items():
            # In the order of the images, in whatever order they were evaluated.
            records = sorted(found, key=_record_order)
            content: Any = records
            if file == "panoptic.json":
                categories = [
                    {"id": c.category_id, "name": c.name, "isthing": int(c.is_thing)}
                    for c in self._categories
                ]
                content = {"annotations": records, "categories": categories}
            write_atomically(self._folder / file, json.dumps(content))

    def _coco_records(
        self, example: EvalExample, result: Result
    ) -> dict[str, list[dict[str, Any]]]:
        files = {}
        match result.main_view:
            case SegmentsView(_, segments):
                files["panoptic.json"] = [self._panoptic_record(example, segments)]
            case ClassesView(label_map):
                files["sem_seg_predictions.json"] = self._semantic_records(example, label_map)
        if result.instances is not None:
            files["instances.json"] = self._instance_records(example, result.instances)
        return files

    def _panoptic_record(self, example: EvalExample, segments: Sequence[Segment]) -> dict[str, Any]:
        infos = [
            {"id": segment.segment_id, "category_id": int(self._ids[segment.label])}
            for segment in segments
        ]
        return {
            "image_id": listed_id(example),
            "file_name": f"{inside_folder(example.image_id)}.png",
            "segments_info": infos,
        }

    def _semantic_records(
        self, example: EvalExample, label_map: np.ndarray
    ) -> list[dict[str, Any]]:
        labels = np.unique(label_map[label_map != VOID])
        rles = text_rles(label_map == labels[:, None, None])
        return [
            {
                "file_name": example.image_id,
                "category_id": int(self._ids[label]),
                "segmentation": rle,
            }
            for label, rle in zip(labels, rles, strict=True)
        ]

    def _instance_records(
        self, example: EvalExample, instances: Sequence[FoundInstance]
    ) -> list[dict[str, Any]]:
        listed = [instance for instance in instances if instance.score >= _MIN_LISTED_SCORE]
        rles = text_rles(np.array([instance.mask for instance in listed], bool))
        return [
            {
                "image_id": listed_id(example),
                "category_id": int(self._ids[instance.label]),
                "segmentation": rle,
                "score": instance.score,
            }
            for instance, rle in zip(listed, rles, strict=True)
        ]

    def _write(self, name: str, data: bytes) -> None:
        write_atomically(self._folder / name, data)


def listed_id(example: EvalExample) -> int | str:
    """The id that the data set's JSON file gives an image, as it is there."""
    return coco_image_id(example.image_id) if example.source_id is None else example.source_id


def coco_image_id(image_id: str) -> int | str:
    """The id of an image that no JSON file lists: COCO's number for names of digits, else the name.

    Such names are those of files, and COCO's tools look images up by number.
    """
    stem = image_id.rpartition("/")[2]
    return int(stem) if stem.isdecimal() else image_id


def text_rles(masks: np.ndarray) -> list[dict[str, Any]]:
    """Run-length encodings of masks [n, h, w] that can be stored as JSON."""
    return [{**rle, "counts": rle["counts"].decode()} for rle in encode_masks(masks)]


def _record_order(record: Mapping[str, Any]) -> tuple[int, int, str]:
    """Numbers by value, before text."""
    key = record.get("image_id", record.get("file_name"))
    return (0, key, "") if isinstance(key, int) else (1, 0, str(key))


def _greyscale(values: Integer[np.ndarray, "h w"], highest: int) -> bytes:
    return encode_image(values.astype(np.uint8 if highest <= 255 else np.uint16))
