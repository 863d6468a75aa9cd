"""The training loop.

A run, in this order:
  1. Mesh, model, optimizer; the state is drawn from the seed, straight onto its devices.
  2. Restore, first that applies: the newest readable checkpoint of the workdir (parameters,
     optimizer state and step; the data goes on behind that step); else the ImageNet backbone of
     `train.init_backbone`; else nothing, training starts from the random state.
  3. For each step: take a batch, update. Then, where the step number says so: log, evaluate,
     save. Evaluation comes before saving so that a checkpoint is stored with its score, and the
     losses are looked at before saving so that no checkpoint holds a non-finite state.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from flax import linen as nn

from maskformer_jax.config import Config
from maskformer_jax.config_check import check_built
from maskformer_jax.data.pipeline import EvalExample, eval_examples, train_batches
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import MAIN_METRIC
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.models.build import build_model
from maskformer_jax.progress import Progress
from maskformer_jax.training.checkpoint import Checkpoints, write_config
from maskformer_jax.training.mesh import make_mesh, put_batch, state_shardings
from maskformer_jax.training.metrics_log import MetricsLog
from maskformer_jax.training.optimizer import make_optimizer
from maskformer_jax.training.pictures import picture_saver
from maskformer_jax.training.pretrained_backbone import load_backbone
from maskformer_jax.training.state import TrainState, initialiser, model_variables, new_state
from maskformer_jax.training.step import make_train_step


class Training:
    """One run: everything that stays the same from step to step."""

    def __init__(self, config: Config) -> None:
        check_built(config)
        self.config = config
        self.info = load_dataset_info(config.data.dataset)
        self.mesh = make_mesh(config.mesh, batch_size=config.train.batch_size)
        self.model: nn.Module = build_model(config.model, num_classes=self.info.num_classes)
        init = initialiser(self.model, config)
        self.optimizer = make_optimizer(config, jax.eval_shape(init)["params"])

        def fresh() -> TrainState:
            return new_state(init(), self.optimizer, with_average=config.optim.ema_decay > 0)

        abstract = jax.eval_shape(fresh)
        self.shardings = state_shardings(abstract, self.mesh)
        self.fresh = jax.jit(fresh, out_shardings=self.shardings)
        self.template = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            abstract,
            self.shardings,
        )
        self.step = make_train_step(
            self.model,
            self.optimizer,
            config,
            num_classes=self.info.num_classes,
            mesh=self.mesh,
            shardings=self.shardings,
        )
        self.evaluator = Evaluator(self.model, config, categories=self.info.categories)

    def initial_state(self) -> TrainState:
        """The random state, with the ImageNet backbone where the config names one."""
        state = self.fresh()
        return load_backbone(self.config, state) if self.config.train.init_backbone else state

    def evaluate(
        self,
        state: TrainState,
        on_result: Callable[[EvalExample, Outputs], None] | None = None,
    ) -> dict[str, float]:
        """Scores the evaluation split; all metrics in percent."""
        examples = eval_examples(self.config)
        metrics = self.evaluator.evaluate(
            model_variables(state), examples, total=len(examples), on_result=on_result
        )
        return metrics.compute()


def train(config: Config, workdir: Path) -> None:
    """Trains, or goes on training, in `workdir`; see the module's docstring for the order.

    Raises:
        UserError: the data, a checkpoint or the config is wrong, or the loss is not finite.
    """
    training = Training(config)
    write_config(workdir, config)
    with Checkpoints(
        workdir,
        keep=config.train.keep_checkpoints,
        best_metric=MAIN_METRIC[config.eval.task],
    ) as checkpoints:
        state = checkpoints.restore(training.template)
        if state is None:
            state = training.initial_state()
        else:
            print(f"{workdir}: going on at step {int(state.step)}", flush=True)
        start = int(state.step)
        batches = train_batches(
            config,
            start_step=start,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        try:
            with MetricsLog(workdir, resume_step=start) as log:
                _run(training, workdir, state, batches, checkpoints, log)
        finally:
            batches.close()


def _run(
    training: Training,
    workdir: Path,
    state: TrainState,
    batches: Iterator[Any],
    checkpoints: Checkpoints,
    log: MetricsLog,
) -> None:
    settings = training.config.train
    start = int(state.step)
    pending: list[tuple[int, dict[str, Any]]] = []
    shown: dict[str, float] = {}
    with Progress(settings.num_steps, description="train", initial=start) as progress:
        for step in range(start + 1, settings.num_steps + 1):
            state, metrics = training.step(state, put_batch(next(batches), training.mesh))
            pending.append((step, metrics))

            last = step == settings.num_steps
            due_log = last or step % settings.log_every == 0
            due_eval = last or step % settings.eval_every == 0
            due_save = last or step % settings.checkpoint_every == 0

            if due_log or due_eval or due_save:
                newest = _fetch_finite(pending)
                shown = {"loss": newest["loss"]}
                if due_log:
                    log.write(step, newest)
            progress.update(1, **shown)
            scores = None
            if due_eval:
                pictures = workdir / "eval" / f"step_{step}"
                saver = picture_saver(pictures, log, training.info, step=step)
                scores = training.evaluate(state, saver)
                main = MAIN_METRIC[training.config.eval.task]
                shown[main] = scores[main]
                log.write(step, {f"eval/{name}": value for name, value in scores.items()})
            if due_save:
                checkpoints.save(state, training.config, scores)


def _fetch_finite(pending: list[tuple[int, dict[str, Any]]]) -> dict[str, float]:
    """Brings the metrics of the steps since the last call to the host; returns the newest.

    Raises:
        UserError: a loss or gradient norm is not finite and the update was made all the same; names
            the first such step.
    """
    fetched = jax.device_get(pending)
    pending.clear()
    for step, metrics in fetched:
        if metrics.get("update_skipped"):
            logging.warning("step %d: the gradient is not finite; this update is left out", step)
            continue
        for name in ("loss", "grad_norm"):
            if not np.isfinite(metrics[name]):
                raise UserError(
                    f"step {step}: {name} is {metrics[name]}; stopped before it could be saved. "
                    "The last checkpoint is good; a lower optim.learning_rate or a look at the "
                    "data of that step would be the next thing to try"
                )
    newest = fetched[-1][1]
    return {name: float(value) for name, value in newest.items() if np.ndim(value) == 0}
