"""The training loop.

A run, in this order:
  1. Mesh, model, optimizer; the state is drawn from the seed, straight onto its devices.
  2. Restore, first that applies: the newest readable checkpoint of the workdir (parameters,
     optimizer state and step; the data goes on behind that step); else the ImageNet backbone of
     `train.init_backbone`; else nothing, training starts from the random state.
  3. For each step: take a batch, update. Then, where the step number says so: log, evaluate,
     save. Evaluation comes before saving so that a checkpoint is stored with its score, and the
     losses are looked at before saving so that no checkpoint holds a non-finite state.

SIGTERM ends the run after the step it is at, with a checkpoint; an evaluation is given up for it,
and made up for at the next start. With several processes all do the same steps in the same order,
each on its share of the data; the first alone writes files other than checkpoints.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from maskformer_jax.config import Config, DistributedConfig
from maskformer_jax.config.io import to_json
from maskformer_jax.data.eval_examples import EvalExample, eval_examples
from maskformer_jax.data.pipeline import batch_image_ids, train_batches
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.distributed import gather, is_primary, joined, require_same
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.metrics import MAIN_METRIC, TaskMetrics
from maskformer_jax.evaluation.runner import Evaluator, merge_processes
from maskformer_jax.models.build import build_model
from maskformer_jax.progress import Progress
from maskformer_jax.training.checkpoint import Checkpoints, write_config
from maskformer_jax.training.finite import require_finite
from maskformer_jax.training.mesh import (
    batch_rows,
    local_devices,
    make_mesh,
    put_batch,
    replicated,
    state_shardings,
)
from maskformer_jax.training.metrics_log import MetricsLog, was_evaluated
from maskformer_jax.training.optimizer import make_optimizer
from maskformer_jax.training.pace import Pace, Profiler
from maskformer_jax.training.pictures import picture_saver, save_charts
from maskformer_jax.training.pretrained_backbone import load_backbone
from maskformer_jax.training.state import TrainState, initialiser, model_variables, new_state
from maskformer_jax.training.step import make_train_step
from maskformer_jax.training.stopping import EXIT_STATUS, StopRequest, StopRequestedError


class Training:
    """One run: everything that stays the same from step to step."""

    def __init__(self, config: Config) -> None:
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
        self.eval_devices = LocalDevices(local_devices(self.mesh))
        self.evaluator = Evaluator(
            self.model, config, categories=self.info.categories, devices=self.eval_devices
        )
        # Parameters that are split over "fsdp" are brought together for evaluation.
        self.whole: Callable[[Any], Any] = (
            jax.jit(lambda tree: tree, out_shardings=replicated(self.mesh))
            if config.mesh.fsdp > 1
            else lambda tree: tree
        )

    def initial_state(self) -> TrainState:
        """The random state, with the ImageNet backbone where the config names one."""
        state = self.fresh()
        return load_backbone(self.config, state) if self.config.train.init_backbone else state

    def evaluate(
        self,
        state: TrainState,
        on_result: Callable[[EvalExample, Outputs], None] | None = None,
        stop: StopRequest | None = None,
    ) -> TaskMetrics:
        """Scores the evaluation split.

        Every device of every process takes images of its own, and all processes get the same
        scores, those that one process would have got.

        Raises:
            StopRequestedError: `stop` was reached.
        """
        examples = eval_examples(
            self.config, process_index=jax.process_index(), process_count=jax.process_count()
        )
        watched = examples if stop is None else stop.watch(examples)
        variables = self.eval_devices.place(self.whole(model_variables(state)))
        metrics = self.evaluator.evaluate(
            variables, watched, total=len(examples), on_result=on_result
        )
        return merge_processes(metrics)


def train(
    config: Config, workdir: Path, *, before: Callable[[Training], None] | None = None
) -> None:
    """Trains, or goes on training, in `workdir`; see the module's docstring for the order.

    Args:
        config: the recipe.
        workdir: for all that the run writes.
        before: called with the run before anything of it is read or written, in every process.

    Raises:
        UserError: the data, a checkpoint or the config is wrong, or the loss is not finite.
        SystemExit: SIGTERM ended the run early, with a checkpoint.
    """
    with joined(config.distributed):
        shared = replace(config, distributed=DistributedConfig())
        require_same(to_json(shared), what="config")
        training = Training(config)
        if before is not None:
            before(training)
        if is_primary():
            write_config(workdir, shared)
        with Checkpoints(
            workdir,
            keep=config.train.keep_checkpoints,
            best_metric=MAIN_METRIC[config.eval.task],
        ) as checkpoints:
            state = checkpoints.restore(training.template)
            if state is None:
                state = training.initial_state()
            elif is_primary():
                print(f"{workdir}: going on at step {int(state.step)}", flush=True)
            batches = train_batches(
                config,
                start_step=int(state.step),
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            )
            with (
                batches,
                MetricsLog(workdir, resume_step=int(state.step), enabled=is_primary()) as log,
            ):
                stopped_at = _Run(training, workdir, batches, checkpoints, log).go(state)
        if stopped_at is not None:
            if is_primary():
                print(f"{workdir}: ended by SIGTERM with step {stopped_at} saved", flush=True)
            raise SystemExit(EXIT_STATUS)


class _Run:
    """What goes on from step to step."""

    def __init__(
        self,
        training: Training,
        workdir: Path,
        batches: Iterator[Any],
        checkpoints: Checkpoints,
        log: MetricsLog,
    ) -> None:
        self._training = training
        self._workdir = workdir
        self._batches = batches
        self._checkpoints = checkpoints
        self._log = log
        self._pace = Pace(batch_size=training.config.train.batch_size)
        self._pending: list[tuple[int, dict[str, Any]]] = []
        self._logged_at = 0

    def go(self, state: TrainState) -> int | None:
        """Runs to the end. Where it was asked to stop before, the step it has reached and saved."""
        training, settings = self._training, self._training.config.train
        start = self._logged_at = int(state.step)
        with (
            StopRequest() as stop,
            Profiler(self._workdir, settings.profile_steps if is_primary() else ()) as profiler,
            Progress(
                settings.num_steps, description="train", initial=start, enabled=is_primary()
            ) as progress,
        ):
            if start and self._is_due(start, settings.eval_every) and not self._evaluated(start):
                self._evaluate(state, start, stop)  # which a stop has cut short
                if stop.stopped:
                    return start
            for step in range(start + 1, settings.num_steps + 1):
                profiler.before(step)
                with self._pace.waiting_for_data():
                    batch = next(self._batches)
                state, metrics = training.step(state, put_batch(batch, training.mesh))
                profiler.after(step, state)
                self._pending.append((step, metrics))

                stopping = stop.reached()
                due_log = self._is_due(step, settings.log_every)
                due_eval = self._is_due(step, settings.eval_every)
                due_save = self._is_due(step, settings.checkpoint_every) or stopping
                shown = self._look(step, log=due_log) if due_log or due_eval or due_save else {}
                progress.update(1, **shown)
                scores = None
                if due_eval and not stopping:
                    scores = self._evaluate(state, step, stop)
                    main = MAIN_METRIC[training.config.eval.task]
                    progress.update(0, **({} if scores is None else {main: scores[main]}))
                stopping = stop.stopped
                if due_save or stopping:
                    with self._pace.paused():
                        self._checkpoints.save(state, training.config, scores)
                if stopping:
                    return step
        return None

    def _is_due(self, step: int, every: int) -> bool:
        return step == self._training.config.train.num_steps or step % every == 0

    def _evaluated(self, step: int) -> bool:
        return gather(is_primary() and was_evaluated(self._workdir, step))[0]

    def _evaluate(self, state: TrainState, step: int, stop: StopRequest) -> dict[str, float] | None:
        """Scores the state and logs it; None where the run is to end before that is done."""
        pictures = self._workdir / "eval" / f"step_{step}"
        saver = picture_saver(pictures, self._log, self._training.info, step=step)
        with self._pace.paused():
            try:
                metrics = self._training.evaluate(state, saver if is_primary() else None, stop)
            except StopRequestedError:
                return None
            scores = metrics.compute()
            if is_primary():
                save_charts(pictures, self._log, metrics.charts(), step=step)
        self._log.write(step, {f"eval/{name}": value for name, value in scores.items()})
        return scores

    def _images(self, step: int) -> list[str]:
        """The ids of the images of an update, in the rows of the device's batch."""
        config = self._training.config
        ids = batch_image_ids(config, step - 1)
        return [ids[row] for row in batch_rows(self._training.mesh, config.train.batch_size)]

    def _look(self, step: int, *, log: bool) -> dict[str, float]:
        """Brings the metrics since the last look to the host; returns what a person wants to see.

        Raises:
            UserError: a loss or gradient norm is not finite and the update was made all the same;
                names the first such step and its images.
        """
        fetched = jax.device_get(self._pending)
        self._pending.clear()
        for number, metrics in fetched:
            require_finite(number, metrics, images=self._images)
        newest = {
            name: float(value) for name, value in fetched[-1][1].items() if np.ndim(value) == 0
        }
        if log:
            pace = self._pace.report(step - self._logged_at)
            self._logged_at = step
            self._log.write(step, {**newest, **pace})
        return {"loss": newest["loss"]}
