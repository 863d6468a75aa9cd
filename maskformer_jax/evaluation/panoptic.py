"""Panoptic quality by the rules of panopticapi, the official tool for COCO and ADE20K panoptic.

PQ (arXiv 1801.00868) is the product of recognition quality (RQ) and segmentation quality (SQ). A
predicted and a true segment match if their categories agree and their IoU exceeds 0.5, which makes
matches unique.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from maskformer_jax.categories import Category
from maskformer_jax.data.example import VOID_ID, PanopticLabels
from maskformer_jax.evaluation.semantic import count_pairs
from maskformer_jax.evaluation.tables import format_percent, format_summary, format_table

_GROUPS = ("", "_things", "_stuff")


class ClassQuality(NamedTuple):
    """The scores of each class in percent; nan for classes in neither truth nor predictions."""

    pq: Float[np.ndarray, " k"]
    sq: Float[np.ndarray, " k"]
    rq: Float[np.ndarray, " k"]


class PanopticMetric:
    """Counts matches over images; splitting the images changes results only by rounding.

    Attributes:
        counts: float64 [K, 4], for each class true positives, false positives, false negatives,
            and the sum of the IoUs of the true positives.
    """

    def __init__(self, is_thing: Sequence[bool] | Bool[np.ndarray, " k"]) -> None:
        self.is_thing = np.asarray(is_thing, bool)
        self.counts = np.zeros((len(self.is_thing), 4))

    def add(
        self, id_map: Integer[np.ndarray, "h w"], labels: Mapping[int, int], truth: PanopticLabels
    ) -> None:
        """Add one image.

        As in panopticapi, areas of true segments come from the annotation, and pixels with an id
        that the annotation does not list belong to no segment.

        Args:
            id_map: predicted segment ids, VOID_ID for none.
            labels: the class of each predicted id.
            truth: the annotation, of the same size.

        Raises:
            ValueError: sizes differ, an id has pixels but no class or a class but no pixels, or a
                class is not in 0..K-1. The counts are unchanged then.
        """
        if id_map.shape != truth.id_map.shape:
            raise ValueError(
                f"the prediction is {id_map.shape}, but the annotation is {truth.id_map.shape}"
            )
        ids, row = np.unique(id_map, return_inverse=True)
        true_ids, column = np.unique(truth.id_map, return_inverse=True)
        table = np.bincount(
            row.ravel() * len(true_ids) + column.ravel(), minlength=len(ids) * len(true_ids)
        ).reshape(len(ids), len(true_ids))
        predicted = ids[ids != VOID_ID].tolist()
        if set(predicted) != set(labels):
            raise ValueError(
                f"the id map has the segments {predicted}, but labels for {sorted(labels)}"
            )
        columns = {int(true_id): i for i, true_id in enumerate(true_ids)}
        overlap = np.zeros((len(predicted), len(truth.segments)), np.int64)
        for i, segment in enumerate(truth.segments):
            if segment.segment_id in columns:
                overlap[:, i] = table[ids != VOID_ID, columns[segment.segment_id]]
        on_void = (
            table[ids != VOID_ID, columns[VOID_ID]]
            if VOID_ID in columns
            else np.zeros(len(predicted), int)
        )
        self._count(
            overlap,
            labels=np.array([labels[i] for i in predicted], int),
            areas=table[ids != VOID_ID].sum(axis=1),
            on_void=on_void,
            true_labels=np.array([segment.label for segment in truth.segments], int),
            true_areas=np.array([segment.area for segment in truth.segments], int),
            is_crowd=np.array([segment.is_crowd for segment in truth.segments], bool),
        )

    def add_semantic(
        self, prediction: Integer[np.ndarray, "h w"], label_map: Integer[np.ndarray, "h w"]
    ) -> None:
        """Add one semantic segmentation, in which each class of the image is one stuff segment.

        This gives the paper's PQ^St for semantic models (section 4.1); `is_thing` should be False
        for all classes.

        Args:
            prediction: labels 0..K-1, or -1 for none.
            label_map: ground truth of the same size, labels 0..K-1 or -1 for void.

        Raises:
            ValueError: the sizes differ or a value is out of range. The counts are unchanged then.
        """
        confusion = count_pairs(prediction, label_map, num_classes=len(self.counts))
        pairs = confusion[:-1]
        labels = np.flatnonzero(pairs.sum(axis=1))
        true_labels = np.flatnonzero(confusion[:, :-1].sum(axis=0))
        self._count(
            pairs[np.ix_(labels, true_labels)],
            labels=labels,
            areas=pairs[labels].sum(axis=1),
            on_void=pairs[labels, -1],
            true_labels=true_labels,
            true_areas=confusion[:, true_labels].sum(axis=0),
            is_crowd=np.zeros(len(true_labels), bool),
        )

    def merge(self, other: "PanopticMetric") -> None:
        """Add the counts of `other`, as if its images had been added here."""
        if not np.array_equal(other.is_thing, self.is_thing):
            raise ValueError("cannot merge metrics with different classes")
        self.counts += other.counts

    def per_class(self) -> ClassQuality:
        """PQ, SQ and RQ of each class."""
        hits, false_positives, false_negatives, iou = self.counts.T
        total = hits + (false_positives + false_negatives) / 2
        occurs = total > 0
        quality = ClassQuality(*(np.full(len(total), np.nan) for _ in ClassQuality._fields))
        np.divide(100 * iou, total, out=quality.pq, where=occurs)
        np.divide(100 * hits, total, out=quality.rq, where=occurs)
        quality.sq[occurs] = 0
        np.divide(100 * iou, hits, out=quality.sq, where=hits > 0)
        return quality

    def compute(self) -> dict[str, float]:
        """The means over the classes that occur, in percent; nan if none does.

        Returns:
            PQ, SQ, RQ of all classes, then PQ_things, ..., RQ_stuff.
        """
        quality, everything = self.per_class(), np.ones(len(self.counts), bool)
        masks = (everything, self.is_thing, ~self.is_thing)
        return {
            name.upper() + group: _mean(values[mask])
            for group, mask in zip(_GROUPS, masks, strict=True)
            for name, values in quality._asdict().items()
        }

    def _count(
        self,
        overlap: Int[np.ndarray, "p t"],
        *,
        labels: Int[np.ndarray, " p"],
        areas: Int[np.ndarray, " p"],
        on_void: Int[np.ndarray, " p"],
        true_labels: Int[np.ndarray, " t"],
        true_areas: Int[np.ndarray, " t"],
        is_crowd: Bool[np.ndarray, " t"],
    ) -> None:
        num_classes = len(self.counts)
        for what, values in (("prediction", labels), ("annotation", true_labels)):
            if values.size and not 0 <= values.min() <= values.max() < num_classes:
                raise ValueError(f"the {what} has a class outside 0..{num_classes - 1}")
        union = areas[:, None] + true_areas - overlap - on_void[:, None]
        # A union is only empty if the annotation states a wrong area.
        iou = np.where(union > 0, overlap / np.maximum(union, 1), 0)
        match = (labels[:, None] == true_labels) & ~is_crowd & (iou > 0.5)

        # Predictions mostly on void or crowd regions of their class are not false positives. Of
        # several crowd regions of a class only the last one counts, as in panopticapi.
        last_crowd = {int(true_labels[i]): i for i in np.flatnonzero(is_crowd)}
        in_crowd = np.array(
            [
                overlap[i, last_crowd[label]] if label in last_crowd else 0
                for i, label in enumerate(labels.tolist())
            ],
            int,
        )
        ignored = (on_void + in_crowd) / areas > 0.5
        wrong = ~match.any(axis=1) & ~ignored
        missed = ~match.any(axis=0) & ~is_crowd
        row, column = np.nonzero(match)
        for i, (found, weights) in enumerate(
            (
                (labels[row], None),
                (labels[wrong], None),
                (true_labels[missed], None),
                (labels[row], iou[row, column]),
            )
        ):
            self.counts[:, i] += np.bincount(found, weights, minlength=num_classes)


def format_panoptic_table(metric: PanopticMetric, categories: Sequence[Category]) -> str:
    """The scores of each class and the summary as text.

    Args:
        metric: the counts.
        categories: K categories in label order.
    """
    quality, counts = metric.per_class(), metric.counts
    rows = [
        (
            category.name,
            "thing" if category.is_thing else "stuff",
            *(format_percent(float(values[i])) for values in quality),
            *(int(count) for count in counts[i, :3]),
        )
        for i, category in enumerate(categories)
    ]
    headers = ("class", "kind", "PQ", "SQ", "RQ", "found", "wrong", "missed")
    classes = format_table(rows, headers, text=2)
    return f"{classes}\n\n{format_summary(metric.compute())}"


def _mean(values: Float[np.ndarray, " n"]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
