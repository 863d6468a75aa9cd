"""All metrics of a task, collected together from the same results."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.panoptic import to_instances
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.charts import class_chart, confusion_chart
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.instances import InstanceMetric, format_instance_table
from maskformer_jax.evaluation.panoptic import PanopticMetric, format_panoptic_table
from maskformer_jax.evaluation.semantic import SemanticMetric, format_semantic_table
from maskformer_jax.evaluation.tables import format_summary

# The metric by which checkpoints are compared, for each task.
MAIN_METRIC = {"semantic": "mIoU", "instance": "AP", "panoptic": "PQ"}

T = TypeVar("T")


class TaskMetrics:
    """The metrics of a task; images may be split over several instances, which are then merged.

    Args:
        task: "semantic" (mIoU, fwIoU, mACC, pACC, and PQ^St), "instance" (AP), or "panoptic"
            (PQ, the semantic metrics, and AP of things).
        categories: K categories in label order.
        augmented: whether to score labels from test-time augmentation too, as mIoU_tta,
            fwIoU_tta, ...
    """

    def __init__(
        self, task: str, categories: Sequence[Category], *, augmented: bool = False
    ) -> None:
        self.task = task
        self.categories = tuple(categories)
        self.semantic = SemanticMetric(len(categories)) if task != "instance" else None
        self.augmented = SemanticMetric(len(categories)) if augmented else None
        # All segments of a semantic segmentation are stuff (PQ^St in the paper).
        things = [category.is_thing and task == "panoptic" for category in categories]
        self.panoptic = PanopticMetric(things) if task != "instance" else None
        self.instances = InstanceMetric(categories) if task != "semantic" else None

    def add(self, example: EvalExample, outputs: Outputs) -> None:
        """Add the results of one image.

        Raises:
            UserError: the example lacks an annotation that the task needs.
        """
        if self.semantic is not None:
            self.semantic.add(outputs.semantic, self._need(example, example.label_map, "label map"))
        if self.augmented is not None:
            truth_map = self._need(example, example.label_map, "label map")
            self.augmented.add(outputs.semantic_tta, truth_map)
        if self.task == "semantic" and self.panoptic is not None:
            self.panoptic.add_semantic(outputs.semantic, example.label_map)
        elif self.panoptic is not None and outputs.panoptic is not None:
            found = outputs.panoptic
            labels = {int(slot) + 1: int(found.label[slot]) for slot in np.flatnonzero(found.valid)}
            truth = self._need(example, example.panoptic, "panoptic annotation")
            self.panoptic.add(found.id_map, labels, truth)
        if self.instances is not None and outputs.instances is not None:
            instances = example.instances
            if instances is None:
                truth = self._need(example, example.panoptic, "instance annotation")
                instances = to_instances(truth, self.categories)
            found_instances, valid = outputs.instances, outputs.instances.valid
            self.instances.add(
                found_instances.masks[valid],
                label=found_instances.label[valid],
                score=found_instances.score[valid],
                truth=instances,
            )

    def merge(self, other: "TaskMetrics") -> None:
        """Add the counts of `other`, as if its images had been added here."""
        if self.semantic is not None and other.semantic is not None:
            self.semantic.merge(other.semantic)
        if self.augmented is not None and other.augmented is not None:
            self.augmented.merge(other.augmented)
        if self.panoptic is not None and other.panoptic is not None:
            self.panoptic.merge(other.panoptic)
        if self.instances is not None and other.instances is not None:
            self.instances.merge(other.instances)

    def compute(self) -> dict[str, float]:
        """All metrics in percent, the main one first; undefined ones are nan."""
        panoptic = {} if self.panoptic is None else self.panoptic.compute()
        semantic = {} if self.semantic is None else self.semantic.compute()
        instances = {} if self.instances is None else self.instances.compute()
        if self.task == "semantic":
            return semantic | self._stuff_quality() | self._augmented_scores()
        return panoptic | semantic | instances | self._augmented_scores()

    def main_score(self) -> float:
        """The metric of `MAIN_METRIC`, in percent; nan where it is undefined."""
        metric = {"semantic": self.semantic, "panoptic": self.panoptic, "instance": self.instances}
        found = metric[self.task]
        return float("nan") if found is None else found.compute()[MAIN_METRIC[self.task]]

    def by_class(self) -> dict[str, float]:
        """The scores of every class in percent, such as `IoU/road`; nan where undefined."""
        names = [category.name for category in self.categories]
        scores: dict[str, np.ndarray] = {}
        if self.task == "panoptic" and self.panoptic is not None:
            scores["PQ"] = self.panoptic.per_class().pq
        if self.semantic is not None:
            scores["IoU"] = self.semantic.per_class().iou
        if self.instances is not None:
            scores["AP"] = self.instances.per_class()
        return {
            f"{metric}/{name}": float(value)
            for metric, values in scores.items()
            for name, value in zip(names, values, strict=True)
        }

    def table(self) -> str:
        """The scores of every class and the summary as text."""
        parts = []
        if self.task == "panoptic" and self.panoptic is not None:
            parts.append(format_panoptic_table(self.panoptic, self.categories))
        if self.semantic is not None:
            parts.append(format_semantic_table(self.semantic, self.categories))
        if self.task == "semantic":
            parts.append(format_summary(self._stuff_quality()))
        if self.augmented is not None:
            parts.append(format_summary(self._augmented_scores()))
        if self.instances is not None:
            parts.append(format_instance_table(self.instances))
        return "\n\n".join(parts)

    def charts(self) -> dict[str, np.ndarray]:
        """Charts by name, uint8 RGB: the main metric by class, and the confusion matrix."""
        charts = {}
        if self.task == "panoptic" and self.panoptic is not None:
            scores = self.panoptic.per_class().pq
            charts["PQ_by_class"] = class_chart(scores, self.categories, title="PQ by class")
        if self.semantic is not None:
            iou = self.semantic.per_class().iou
            charts["IoU_by_class"] = class_chart(iou, self.categories, title="IoU by class")
            charts["confusion"] = confusion_chart(self.semantic.confusion, self.categories)
        if self.task == "instance" and self.instances is not None:
            scores = self.instances.per_class()
            charts["AP_by_class"] = class_chart(scores, self.categories, title="AP by class")
        return charts

    def _stuff_quality(self) -> dict[str, float]:
        assert self.panoptic is not None
        scores = self.panoptic.compute()
        return {name: scores[name] for name in ("PQ_stuff", "SQ_stuff", "RQ_stuff")}

    def _augmented_scores(self) -> dict[str, float]:
        scores = {} if self.augmented is None else self.augmented.compute()
        return {f"{name}_tta": value for name, value in scores.items()}

    def _need(self, example: EvalExample, value: T | None, what: str) -> T:
        if value is None:
            raise UserError(
                f"'{example.image_id}' has no {what}, which eval.task={self.task!r} needs; choose "
                "a task that fits the data set, or a data.format that reads such annotations"
            )
        return value
