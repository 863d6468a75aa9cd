"""What an evaluation during training shows a person: predictions beside the ground truth."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.data.pipeline import EvalExample
from maskformer_jax.data.transforms import resize_image
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.training.metrics_log import MetricsLog
from maskformer_jax.visualize import comparison

PICTURES_PER_EVALUATION = 4


def picture_saver(
    folder: Path, log: MetricsLog, info: DatasetInfo, *, step: int
) -> Callable[[EvalExample, Outputs], None]:
    """A callback for `Evaluator.evaluate` that keeps the first few results.

    Each becomes a PNG in `folder` and a picture `eval/IMAGE_ID` in TensorBoard.
    """
    shown: list[str] = []

    def save(example: EvalExample, outputs: Outputs) -> None:
        if len(shown) >= PICTURES_PER_EVALUATION or outputs.semantic is None:
            return
        shown.append(example.image_id)
        image = resize_image(example.image, example.original_size)
        picture = comparison(image, outputs.semantic, example.label_map, info.categories)
        path = folder / f"{example.image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        log.picture(step, f"eval/{example.image_id}", picture)

    return save
