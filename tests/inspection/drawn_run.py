"""A workdir as a panoptic run leaves it, drawn in a moment: two evaluations of two images."""

from pathlib import Path

import numpy as np

from maskformer_jax.categories import Category, DatasetInfo
from maskformer_jax.checkpoints.workdir import write_description
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.example import PanopticLabels, PanopticSegment
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import TaskMetrics
from maskformer_jax.evaluation.report_data import ReportData
from maskformer_jax.evaluation.worst_examples import WorstExamples
from maskformer_jax.postprocess import Instances, PanopticSegmentation
from maskformer_jax.run_record import record_start
from maskformer_jax.training.metrics_log import MetricsLog

CATEGORIES = (
    Category(name="cat </script> & co", color=(200, 30, 30), is_thing=True),
    Category(name="sky", color=(30, 30, 200)),
)
HEIGHT, WIDTH = 60, 80
RECIPE = "coco-panoptic/maskformer_panoptic_R50_bs64_554k"


def draw_example(number: int) -> EvalExample:
    """A cat of 20 x 30 pixels in the sky."""
    ids = np.full((HEIGHT, WIDTH), 2, np.int32)
    ids[10:30, 10:40] = 1
    random = np.random.default_rng(number)
    return EvalExample(
        image_id=f"photo {number}",
        image=random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8),
        original_size=(HEIGHT, WIDTH),
        label_map=ids - 1,
        panoptic=PanopticLabels(
            ids,
            (PanopticSegment(1, 0, False, 600), PanopticSegment(2, 1, False, 4200)),
        ),
    )


def predict(example: EvalExample, *, shift: int) -> Outputs:
    """The truth, moved to the right by some pixels."""
    assert example.panoptic is not None
    ids = np.full((HEIGHT, WIDTH), 2, np.int32)
    ids[10:30, 10 + shift : 40 + shift] = 1
    masks = np.stack([ids == 1])
    return Outputs(
        semantic=ids - 1,
        panoptic=PanopticSegmentation(
            ids,
            valid=np.array([True, True]),
            label=np.array([0, 1]),
            is_thing=np.array([True, False]),
            score=np.array([0.9, 0.8]),
        ),
        instances=Instances(
            masks, label=np.array([0]), score=np.array([0.9]), valid=np.array([True])
        ),
    )


def evaluate(folder: Path, *, shifts: tuple[int, ...], step: int, most: int = 8) -> TaskMetrics:
    """Score predictions that are shifted by so many pixels, and write what a report needs."""
    metrics = TaskMetrics("panoptic", CATEGORIES)
    data = ReportData(worst=WorstExamples(CATEGORIES, most=most))
    for number, shift in enumerate(shifts):
        example = draw_example(number)
        of_image = TaskMetrics("panoptic", CATEGORIES)
        outputs = predict(example, shift=shift)
        of_image.add(example, outputs)
        metrics.merge(of_image)
        data.add(example, outputs, of_image)
    data.gather()
    data.write(folder, metrics, title="photos val", step=step)
    return metrics


def draw_run(workdir: Path, *, recipe: str = RECIPE) -> None:
    """Write the workdir of a run of 20 steps, the second of whose evaluations is the better one."""
    config: Config = load_config(recipe)
    config.train.batch_size = 3
    write_description(
        workdir, config, DatasetInfo(name="photos", categories=CATEGORIES, ignore_label=255)
    )
    record_start(workdir)
    with MetricsLog(workdir, resume_step=0) as log:
        for step in range(1, 21):
            values = {"loss": 5 / step, "loss_class": 1 / step, "learning_rate": 1e-4}
            log.write(step, {**values, "images_per_second": 3.5, "data_wait_share": 0.1})
            if step % 10 == 0:
                shifts = (25, 2) if step == 10 else (10, 1)
                metrics = evaluate(workdir / "eval" / f"step_{step}", shifts=shifts, step=step)
                scores = metrics.compute() | metrics.by_class()
                log.write(step, {f"eval/{name}": value for name, value in scores.items()})
