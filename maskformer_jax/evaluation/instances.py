"""Average precision (AP) of instances, computed by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskformer_jax.categories import Category
from maskformer_jax.data.example import Instance
from maskformer_jax.data.run_lengths import bounding_box, encode_masks
from maskformer_jax.evaluation.tables import format_percent, format_summary, format_table

# The first six of the twelve numbers that COCOeval computes.
NAMES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")

_Annotations = list[dict[str, Any]]


class InstanceMetric:
    """Collects detections and true instances, with masks as run-length encodings.

    Attributes:
        images: for each image its size and the (true instances, detections) as COCO annotations,
            with labels as category ids.
    """

    def __init__(self, categories: Sequence[Category]) -> None:
        self.categories = tuple(categories)
        self.images: list[tuple[tuple[int, ...], tuple[_Annotations, _Annotations]]] = []

    def add(
        self,
        masks: Bool[np.ndarray, "n h w"],
        *,
        label: Integer[np.ndarray, " n"],
        score: Float[np.ndarray, " n"],
        truth: Sequence[Instance],
    ) -> None:
        """Add one image.

        Args:
            masks: of the detections, in any order.
            label: their classes, 0..K-1.
            score: their confidences, 0..1.
            truth: the annotation.
        """
        found = [
            _annotation(rle, label=int(label[i]), score=float(score[i]))
            for i, rle in enumerate(encode_masks(masks))
        ]
        true = [
            {
                "category_id": instance.label,
                "segmentation": instance.rle,
                "area": instance.area,
                "bbox": list(instance.bbox),
                "iscrowd": int(instance.is_crowd),
            }
            for instance in truth
        ]
        self.images.append((masks.shape[1:], (true, found)))

    def merge(self, other: "InstanceMetric") -> None:
        """Add the images of `other`, as if they had been added here."""
        if other.categories != self.categories:
            raise ValueError("cannot merge metrics with different classes")
        self.images += other.images

    def compute(self) -> dict[str, float]:
        """AP, AP50, AP75, and AP of small, medium and large instances, in percent.

        A value is nan if there is no true instance of that size.
        """
        return self._run()[0]

    def per_class(self) -> Float[np.ndarray, " k"]:
        """AP of each class in percent; nan for stuff and for classes without a true instance."""
        return self._run()[1]

    def _run(self) -> tuple[dict[str, float], np.ndarray]:
        per_class = np.full(len(self.categories), np.nan)
        labels = [i for i, category in enumerate(self.categories) if category.is_thing]
        if not self.images or not labels:
            return dict.fromkeys(NAMES, float("nan")), per_class
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            coco_eval = COCOeval(self._dataset(0), self._dataset(1), "segm")
            coco_eval.params.catIds = labels
            coco_eval.evaluate()
            coco_eval.accumulate()
            coco_eval.summarize()
        values = [100 * value if value >= 0 else float("nan") for value in coco_eval.stats[:6]]
        # Axes: IoU threshold, recall, class, instance size, detection limit. -1 means undefined.
        precision = coco_eval.eval["precision"][:, :, :, 0, -1]
        exists = (precision >= 0).any(axis=(0, 1))
        average = 100 * precision.mean(axis=(0, 1))
        per_class[labels] = np.where(exists, average, np.nan)
        return dict(zip(NAMES, map(float, values), strict=True)), per_class

    def _dataset(self, which: int) -> COCO:
        coco = COCO()
        annotations = [
            {**annotation, "image_id": image}
            for image, (_, pair) in enumerate(self.images)
            for annotation in pair[which]
        ]
        coco.dataset = {
            "images": [
                {"id": image, "height": size[0], "width": size[1]}
                for image, (size, _) in enumerate(self.images)
            ],
            "categories": [{"id": label} for label in range(len(self.categories))],
            # Ids start at 1 because COCOeval treats a match with annotation 0 as no match.
            "annotations": [
                {**annotation, "id": i} for i, annotation in enumerate(annotations, start=1)
            ],
        }
        coco.createIndex()
        return coco


def format_instance_table(metric: InstanceMetric) -> str:
    """AP of each thing class and the summary as text."""
    summary, per_class = metric._run()
    rows = [
        (category.name, format_percent(float(value)))
        for category, value in zip(metric.categories, per_class, strict=True)
        if category.is_thing
    ]
    classes = format_table(rows, ("class", "AP"), text=1)
    return f"{classes}\n\n{format_summary(summary)}"


def _annotation(rle: dict[str, Any], *, label: int, score: float) -> dict[str, Any]:
    return {
        "category_id": label,
        "segmentation": rle,
        "score": score,
        "area": float(coco_mask.area(rle)),
        "bbox": list(bounding_box(rle)),
        "iscrowd": 0,
    }
