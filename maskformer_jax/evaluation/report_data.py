"""What a report of an evaluation is made from: `report.json`, and the worst images beside it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.distributed import gather
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import MAIN_METRIC, TaskMetrics
from maskformer_jax.evaluation.worst_examples import ShownExample, WorstExamples
from maskformer_jax.json_files import finite

REPORT_FILE = "report.json"
_EXAMPLES = "examples"


@dataclass(kw_only=True)
class ReportData:
    """Collects an evaluation's worst images and its time, and writes them with its scores.

    Attributes:
        worst: receives the images of this process.
    """

    worst: WorstExamples
    _start: float = field(default_factory=time.perf_counter)
    _images: int = 0

    def add(self, example: EvalExample, outputs: Outputs, of_image: TaskMetrics) -> None:
        """Take one image, its results and its own metrics."""
        self._images += 1
        if self.worst.most:
            self.worst.add(example, outputs, of_image.main_score())

    def gather(self) -> None:
        """Collect the images of all processes, each of which must call this."""
        others = gather((self.worst.worst_first(), self._images))[1:]
        for examples, images in others:
            self.worst.take_over(examples)
            self._images += images

    def write(
        self,
        folder: Path,
        metrics: TaskMetrics,
        *,
        title: str,
        step: int | None = None,
        config: Mapping[str, Any] | None = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        """Write `report.json` and `examples/`.

        Args:
            folder: where.
            metrics: of all images.
            title: what was evaluated on what.
            step: of the checkpoint.
            config: of the evaluation, and
            start: its command, versions and devices, where no workdir around it has them.

        Raises:
            UserError: a file cannot be written.
        """
        seconds = time.perf_counter() - self._start
        examples = [
            _write_example(folder, number, example)
            for number, example in enumerate(self.worst.worst_first())
        ]
        content = {
            "title": title,
            "step": step,
            "task": metrics.task,
            "main_metric": MAIN_METRIC[metrics.task],
            "images": self._images,
            "seconds": seconds,
            "classes": [
                {"name": one.name, "color": list(one.color), "is_thing": one.is_thing}
                for one in metrics.categories
            ],
            "scores": finite(metrics.compute()),
            "by_class": finite(metrics.by_class()),
            "confusion": _sparse(metrics),
            "segments": _segment_counts(metrics),
            "examples": examples,
            "config": config,
            "start": start,
        }
        text = json.dumps(content, allow_nan=False, ensure_ascii=False)
        write_atomically(folder / REPORT_FILE, text + "\n")


def _write_example(folder: Path, number: int, example: ShownExample) -> dict[str, Any]:
    def write(name: str, data: bytes) -> str:
        write_atomically(folder / _EXAMPLES / name, data)
        return f"{_EXAMPLES}/{name}"

    return {
        "image_id": example.image_id,
        "score": example.score,
        "image": write(f"{number:02}.jpg", example.image),
        "layers": [
            {
                "name": layer.name,
                "map": write(f"{number:02}_{layer.name.replace(' ', '_')}.png", layer.id_map),
                "segments": layer.segments,
            }
            for layer in example.layers
        ],
    }


def _sparse(metrics: TaskMetrics) -> list[Sequence[int]]:
    """(true class, predicted class, pixels) of pairs that occur; predicted -1: none."""
    if metrics.semantic is None:
        return []
    counts = metrics.semantic.confusion[:, :-1].T
    pairs = zip(*np.nonzero(counts), strict=True)
    last = counts.shape[1] - 1
    return [
        (int(true), int(found) if found < last else -1, int(counts[true, found]))
        for true, found in pairs
    ]


def _segment_counts(metrics: TaskMetrics) -> dict[str, Mapping[str, int]]:
    """For each class, segments that were found (IoU above 0.5), missed, and predicted for nothing.

    Of a panoptic segmentation; other tasks have none.
    """
    if metrics.task != "panoptic" or metrics.panoptic is None:
        return {}
    counts = metrics.panoptic.counts[:, :3].astype(int).tolist()
    return {
        category.name: {"found": found, "wrong": wrong, "missed": missed}
        for category, (found, wrong, missed) in zip(metrics.categories, counts, strict=True)
    }
