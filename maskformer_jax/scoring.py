"""From a checkpoint to its score: load, run over the evaluation split, report."""

from pathlib import Path

import numpy as np
from PIL import Image

from maskformer_jax.config import Config
from maskformer_jax.config_check import check_built
from maskformer_jax.data.pipeline import EvalExample, eval_examples
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.report import report
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.pretrained import load_pretrained

PREDICTIONS = "predictions"  # the folder for label maps in the output


def evaluate_checkpoint(
    config: Config,
    checkpoint: Path,
    output: Path | None = None,
    save_predictions: bool = False,
) -> dict[str, float]:
    """Scores a checkpoint on the evaluation split, prints the table, and returns the metrics.

    Args:
        config: The recipe; says which data.
        checkpoint: Anything that `load_pretrained` takes.
        output: Where to write `metrics.json`, and with `save_predictions` the label map of each
            image as `predictions/IMAGE_ID.png` (uint8, or uint16 for more than 256 classes).
        save_predictions: Whether to write those.

    Returns:
        Metric name to value, in percent.

    Raises:
        UserError: the config, the checkpoint or the data is wrong.
    """
    check_built(config, "model", "eval")
    loaded = load_pretrained(checkpoint, config=config)
    examples = eval_examples(config)
    dtype = np.uint8 if len(loaded.categories) <= 256 else np.uint16

    def save(example: EvalExample, outputs: Outputs) -> None:
        if output is not None and save_predictions and outputs.semantic is not None:
            path = output / PREDICTIONS / f"{example.image_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(outputs.semantic.astype(dtype)).save(path)

    evaluator = Evaluator(loaded.model, config, categories=loaded.categories)
    metrics = evaluator.evaluate(loaded.variables, examples, total=len(examples), on_result=save)
    scores = metrics.compute()
    report(
        metrics.table(),
        scores,
        title=f"{checkpoint} on {config.data.dataset} {config.data.eval_split}",
        output=output,
    )
    return scores
