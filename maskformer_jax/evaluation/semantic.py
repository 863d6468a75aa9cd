"""Semantic segmentation metrics from one confusion matrix: mIoU, fwIoU, mACC, pACC.

The published results (paper section 4) were computed by detectron2's `SemSegEvaluator`. Its mIoU
changed in July 2022 for data sets where some class never occurs in the ground truth; `compute`
returns the present definition as `mIoU` and the one at publication time as `mIoU_older`. They agree
if every class occurs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, Integer

from maskformer_jax.categories import Category
from maskformer_jax.evaluation.tables import format_percent, format_summary, format_table
from maskformer_jax.types import VOID


class ClassScores(NamedTuple):
    """The scores of each class, in label order, over all labelled pixels."""

    iou: Float[np.ndarray, " k"]  # percent; nan for classes absent from the ground truth
    accuracy: Float[np.ndarray, " k"]  # percent of the class's pixels that are found; nan likewise
    pixels: Int64[np.ndarray, " k"]  # ground-truth pixels
    predicted: Int64[np.ndarray, " k"]  # predicted pixels, without those on void


class SemanticMetric:
    """Counts (predicted, true) label pairs over images; exact however the images are split.

    Attributes:
        confusion: int64 [K+1, K+1], pixels by predicted label (row) and true label (column). The
            last column counts predictions on void, the last row pixels without a prediction.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}, but must be at least 1")
        self.num_classes = num_classes
        self.confusion = np.zeros((num_classes + 1, num_classes + 1), np.int64)

    def add(
        self,
        prediction: Integer[np.ndarray, "h w"],
        label_map: Integer[np.ndarray, "label_h label_w"],
    ) -> None:
        """Add one image.

        Args:
            prediction: labels 0..K-1, or -1 for none, which is wrong on every labelled pixel.
            label_map: ground truth of the same size, labels 0..K-1 or -1 for void.

        Raises:
            ValueError: the sizes differ or a value is out of range. The counts are unchanged then.
        """
        self.confusion += count_pairs(prediction, label_map, num_classes=self.num_classes)

    def merge(self, other: "SemanticMetric") -> None:
        """Add the counts of `other`, as if its images had been added here."""
        if other.num_classes != self.num_classes:
            raise ValueError(
                f"cannot merge counts of {other.num_classes} classes into {self.num_classes}"
            )
        self.confusion += other.confusion

    def per_class(self) -> ClassScores:
        """IoU, accuracy and pixel counts of each class."""
        k = self.num_classes
        # Predictions on void are ignored: only the first K columns enter.
        labelled = self.confusion[:, :k]
        hits = np.diagonal(labelled)
        pixels = labelled.sum(axis=0)
        predicted = labelled[:k].sum(axis=1)
        return ClassScores(
            iou=_percent(hits, pixels + predicted - hits, where=pixels > 0),
            accuracy=_percent(hits, pixels, where=pixels > 0),
            pixels=pixels,
            predicted=predicted,
        )

    def compute(self) -> dict[str, float]:
        """The summary, in percent; all values are nan if no labelled pixel was added.

        Returns:
            mIoU: mean IoU over the classes that occur in the ground truth.
            fwIoU: their IoU weighted by pixel frequency.
            mACC: mean accuracy over the classes that occur in the ground truth.
            pACC: share of the labelled pixels that are correct.
            mIoU_older: as mIoU, but classes that occur only in predictions count as 0. This is
                what detectron2 reported when the paper was published, and the mean class IoU of
                the official Cityscapes script.
        """
        scores = self.per_class()
        occurs = scores.pixels > 0
        names = ("mIoU", "fwIoU", "mACC", "pACC", "mIoU_older")
        if not occurs.any():
            return dict.fromkeys(names, float("nan"))
        iou, pixels = scores.iou[occurs], scores.pixels[occurs]
        hits = np.diagonal(self.confusion)[: self.num_classes].sum()
        values = (
            iou.mean(),
            (iou * pixels).sum() / pixels.sum(),
            scores.accuracy[occurs].mean(),
            100 * hits / pixels.sum(),
            iou.sum() / np.count_nonzero(scores.pixels + scores.predicted),
        )
        return {name: float(value) for name, value in zip(names, values, strict=True)}


def count_pairs(
    prediction: Integer[np.ndarray, "h w"],
    label_map: Integer[np.ndarray, "label_h label_w"],
    *,
    num_classes: int,
) -> Int64[np.ndarray, "k_plus_1 k_plus_1"]:
    """The confusion matrix of one image, laid out as in `SemanticMetric`.

    Raises:
        ValueError: the sizes differ or a value is out of range.
    """
    if prediction.shape != label_map.shape:
        raise ValueError(
            f"the prediction is {prediction.shape}, but the label map is {label_map.shape}"
        )
    width = num_classes + 1
    if prediction.size == 0:
        return np.zeros((width, width), np.int64)
    _check_range("prediction", prediction, highest=num_classes - 1)
    _check_range("label map", label_map, highest=num_classes - 1)
    predicted, truth = prediction.astype(np.int64), label_map.astype(np.int64)
    for labels in (predicted, truth):
        labels[labels == VOID] = num_classes
    pairs = predicted * width + truth
    return np.bincount(pairs.ravel(), minlength=width**2).reshape(width, width)


def format_semantic_table(metric: SemanticMetric, categories: Sequence[Category]) -> str:
    """The per-class scores and the summary as text.

    Args:
        metric: the counts.
        categories: K categories in label order.
    """
    scores = metric.per_class()
    total = max(int(scores.pixels.sum()), 1)
    rows = [
        (
            category.name,
            format_percent(iou),
            format_percent(accuracy),
            f"{100 * pixels / total:.2f}",
        )
        for category, iou, accuracy, pixels in zip(
            categories, scores.iou, scores.accuracy, scores.pixels, strict=True
        )
    ]
    classes = format_table(rows, ("class", "IoU", "accuracy", "% of pixels"), text=1)
    return f"{classes}\n\n{format_summary(metric.compute())}"


def _percent(
    part: Int64[np.ndarray, " k"],
    whole: Int64[np.ndarray, " k"],
    *,
    where: np.ndarray,
) -> Float[np.ndarray, " k"]:
    """100 * part / whole; nan outside `where`, without a warning for division by zero."""
    out = np.full(part.shape, np.nan)
    np.divide(100 * part, whole, out=out, where=where)
    return out


def _check_range(what: str, values: np.ndarray, *, highest: int) -> None:
    smallest, largest = int(values.min()), int(values.max())
    if smallest < VOID or largest > highest:
        wrong = smallest if smallest < VOID else largest
        raise ValueError(f"the {what} has the value {wrong}; allowed are {VOID}..{highest}")
