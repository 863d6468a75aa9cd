"""From a checkpoint to its score: load, run over the evaluation split, report."""

from collections.abc import Collection
from pathlib import Path

from maskformer_jax.config import Config
from maskformer_jax.config_check import check_built
from maskformer_jax.data.pipeline import eval_examples
from maskformer_jax.evaluation.prediction_files import PredictionFiles
from maskformer_jax.evaluation.report import report
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.pretrained import load_pretrained


def evaluate_checkpoint(
    config: Config,
    checkpoint: Path,
    output: Path | None = None,
    save_predictions: Collection[str] = (),
) -> dict[str, float]:
    """Scores a checkpoint on the evaluation split, prints the table, and returns the metrics.

    Args:
        config: The recipe; says which data.
        checkpoint: Anything that `load_pretrained` takes.
        output: Where to write `metrics.json` and what `save_predictions` asks for.
        save_predictions: Formats of `evaluation.prediction_files`.

    Returns:
        Metric name to value, in percent.

    Raises:
        UserError: the config, the checkpoint or the data is wrong.
    """
    check_built(config, "model", "eval")
    loaded = load_pretrained(checkpoint, config=config)
    examples = eval_examples(config)
    files = PredictionFiles(output or Path(), save_predictions, loaded.categories)
    evaluator = Evaluator(loaded.model, config, categories=loaded.categories)
    metrics = evaluator.evaluate(
        loaded.variables, examples, total=len(examples), on_result=files.add
    )
    files.finish()
    scores = metrics.compute()
    report(
        metrics.table(),
        scores,
        title=f"{checkpoint} on {config.data.dataset} {config.data.eval_split}",
        output=output,
    )
    return scores
