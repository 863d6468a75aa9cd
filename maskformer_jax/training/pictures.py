"""Pictures from evaluations during training: predictions beside the ground truth."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.unique_names import inside_folder
from maskformer_jax.evaluation.drawing import draw_comparison
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.image_files import encode_image
from maskformer_jax.training.metrics_log import MetricsLog

PICTURES_PER_EVALUATION = 4


def picture_saver(
    folder: Path, log: MetricsLog, info: DatasetInfo, *, step: int
) -> Callable[[EvalExample, Outputs], None]:
    """Return a callback for `Evaluator.evaluate` that saves the first few results.

    Each is saved as `folder/IMAGE_ID.png` and as the image `eval/IMAGE_ID` in TensorBoard.
    """
    shown: list[str] = []

    def save(example: EvalExample, outputs: Outputs) -> None:
        if len(shown) >= PICTURES_PER_EVALUATION:
            return
        picture = draw_comparison(example, outputs, info.categories)
        if picture is None:
            return
        shown.append(example.image_id)
        path = folder / f"{inside_folder(example.image_id)}.png"
        write_atomically(path, encode_image(picture))
        log.picture(step, f"eval/{example.image_id}", picture)

    return save


def save_charts(
    folder: Path, log: MetricsLog, charts: Mapping[str, np.ndarray], *, step: int
) -> None:
    """Save the charts of an evaluation as `folder/NAME.png` and `eval/NAME` in TensorBoard."""
    for name, picture in charts.items():
        write_atomically(folder / f"{name}.png", encode_image(picture))
        log.picture(step, f"eval/{name}", picture)
