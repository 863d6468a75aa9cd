"""Scoring a checkpoint: load it, run it over the evaluation split, report the metrics."""

import json
from collections.abc import Collection
from pathlib import Path

import jax

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.checkpoints.workdir import describe_config, newest_step
from maskformer_jax.config import Config, ModelConfig
from maskformer_jax.data.eval_examples import EvalExample, eval_examples
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import TaskMetrics
from maskformer_jax.evaluation.prediction_files import PredictionFiles
from maskformer_jax.evaluation.processes import merge_processes
from maskformer_jax.evaluation.report import report
from maskformer_jax.evaluation.report_data import ReportData
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.evaluation.worst_examples import WorstExamples
from maskformer_jax.image_files import encode_image
from maskformer_jax.precision import resolve_precision
from maskformer_jax.pretrained import load_pretrained
from maskformer_jax.run_record import describe_start


def evaluate_checkpoint(
    config: Config,
    checkpoint: Path,
    output: Path | None = None,
    save_predictions: Collection[str] = (),
) -> dict[str, float]:
    """Score a checkpoint on the evaluation split, print the table, and return the metrics.

    Args:
        config: the recipe, which names the data.
        checkpoint: anything that `load_pretrained` accepts.
        output: folder for `metrics.json`, charts, and the predictions that `save_predictions`
            selects; with several processes, a folder that they share.
        save_predictions: any of `evaluation.prediction_formats.FORMATS`.

    Returns:
        Metric name to value, in percent.

    Raises:
        UserError: the config, the checkpoint or the data is wrong.
    """
    loaded = load_pretrained(checkpoint, config=config)
    if is_primary():
        print(f"matrix products: {describe_precision(config.model)}", flush=True)
    examples = eval_examples(config)
    files = PredictionFiles(output or Path(), save_predictions, loaded.categories)
    devices = LocalDevices(jax.local_devices()[: _device_limit(config)])
    most = config.eval.report_images if output is not None else 0
    data = ReportData(worst=WorstExamples(loaded.categories, most=most))

    def take(example: EvalExample, outputs: Outputs, of_image: TaskMetrics) -> None:
        files.add(example, outputs)
        if output is not None:
            data.add(example, outputs, of_image)

    evaluator = Evaluator(loaded.model, config, categories=loaded.categories, devices=devices)
    metrics = merge_processes(
        evaluator.evaluate(devices.place(loaded.variables), examples, on_result=take)
    )
    others = gather(files.records)[1:]
    data.gather()
    scores = metrics.compute()
    if is_primary():
        for records in others:
            files.take_over(records)
        # The table first: what it took an evaluation to find is not lost to a full disk.
        on_data = f"{load_dataset_info(config.data.dataset).name} {config.data.eval_split}"
        step = newest_step(checkpoint)
        report(
            metrics.table(),
            scores,
            title=f"{checkpoint} on {on_data}",
            output=output,
            details={
                **metrics.by_class(),
                "checkpoint": checkpoint.name,
                "step": step,
            },
        )
        if output is not None:
            for name, picture in metrics.charts().items():
                write_atomically(output / f"{name}.png", encode_image(picture))
            title = f"{checkpoint.name} on {on_data}"
            data.write(
                output,
                metrics,
                title=title,
                step=step,
                config=json.loads(describe_config(output, config)),
                start=describe_start(output),
            )
        files.finish()
    return scores


def describe_precision(model: ModelConfig) -> str:
    """The dtype and the precision of inference, such as "float32, precision highest"."""
    precision = resolve_precision(
        model.matmul_precision, compute_dtype=model.compute_dtype, train=False
    )
    return f"{model.compute_dtype}, precision {precision or 'default'}"


def _device_limit(config: Config) -> int | None:
    """The number of devices in the config's mesh, or None if the config leaves it open."""
    return config.mesh.data * config.mesh.fsdp if config.mesh.data > 0 else None
