"""Evaluation during training: scores, charts and pictures of the evaluation split."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn
from jax.sharding import Mesh

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import EvalExample, EvalExamples
from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import TaskMetrics
from maskformer_jax.evaluation.processes import merge_processes
from maskformer_jax.evaluation.report_data import ReportData
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.evaluation.worst_examples import WorstExamples
from maskformer_jax.training.mesh import local_devices, replicated
from maskformer_jax.training.metrics_log import MetricsLog, was_evaluated
from maskformer_jax.training.pictures import picture_saver, save_charts
from maskformer_jax.training.state import TrainState, model_variables
from maskformer_jax.training.stopping import StopRequest, StopRequestedError


class Validation:
    """Evaluates train states on the evaluation split and records the results in the workdir.

    Every device of every process evaluates images of its own. All processes get the same scores,
    which do not depend on the number of processes.

    Args:
        model: the model being trained.
        config: its recipe.
        info: the data set's categories.
        mesh: the devices that hold the train state.
        workdir: the run's folder; pictures and charts go to `eval/step_STEP`.
        log: receives the scores as `eval/NAME`.
        examples: the evaluation split.
    """

    def __init__(
        self,
        model: nn.Module,
        config: Config,
        *,
        info: DatasetInfo,
        mesh: Mesh,
        workdir: Path,
        log: MetricsLog,
        examples: EvalExamples,
    ) -> None:
        self._examples = examples
        self._info = info
        self._workdir = workdir
        self._log = log
        self._report_images = config.eval.report_images
        self._title = f"{info.name} {config.data.eval_split}"
        self._devices = LocalDevices(local_devices(mesh))
        self._evaluator = Evaluator(
            model, config, categories=info.categories, devices=self._devices
        )
        # Parameters that are split over "fsdp" are gathered for evaluation.
        self._unshard: Callable[[Any], Any] = (
            jax.jit(lambda tree: tree, out_shardings=replicated(mesh))
            if config.mesh.fsdp > 1
            else lambda tree: tree
        )

    def run(self, state: TrainState, *, step: int, stop: StopRequest) -> dict[str, float] | None:
        """Evaluate the state and record the scores.

        Returns:
            The scores by name, in percent; None if `stop` was reached before the end.
        """
        folder = self._workdir / "eval" / f"step_{step}"
        save_picture = picture_saver(folder, self._log, self._info, step=step)
        data = ReportData(worst=WorstExamples(self._info.categories, most=self._report_images))

        def take(example: EvalExample, outputs: Outputs, of_image: TaskMetrics) -> None:
            if is_primary():
                save_picture(example, outputs)
            data.add(example, outputs, of_image)

        try:
            metrics = self._evaluate(state, stop, take)
        except StopRequestedError:
            return None
        data.gather()
        scores = metrics.compute()
        if is_primary():
            save_charts(folder, self._log, metrics.charts(), step=step)
            data.write(folder, metrics, title=self._title, step=step)
        self._log.write(
            step,
            {f"eval/{name}": value for name, value in scores.items()},
            {f"eval/{name}": value for name, value in metrics.by_class().items()},
        )
        return scores

    def is_recorded(self, step: int) -> bool:
        """Whether the log has scores for that step; the same answer in all processes."""
        return gather(is_primary() and was_evaluated(self._workdir, step))[0]

    def _evaluate(
        self,
        state: TrainState,
        stop: StopRequest,
        on_result: Callable[[EvalExample, Outputs, TaskMetrics], None],
    ) -> TaskMetrics:
        variables = self._devices.place(self._unshard(model_variables(state)))
        metrics = self._evaluator.evaluate(
            variables, self._examples, on_result=on_result, watch=stop.watch
        )
        return merge_processes(metrics)
