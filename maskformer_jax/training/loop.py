"""The training loop.

A run goes through these steps, and so does the code below:

  1. Lock the workdir, open the data, set up mesh, model, optimizer, compiled step (`Training`).
  2. Restore the first of these that exists: the newest readable checkpoint of the workdir
     (parameters, optimizer state and step; the data continues after that step); the model of
     `train.init_checkpoint`; the backbone of `train.init_backbone`; otherwise the random initial
     state. Only then is the workdir's description written, so that a refusal changes nothing. If
     SIGTERM cut the evaluation of the restored step short, evaluate it now.
  3. For each step: take a batch, update. Then, when the step is due for it: log, evaluate, save.

Evaluation comes before saving so that a checkpoint is stored with its scores. Losses are checked
before either, so that no checkpoint holds a non-finite state.

SIGTERM or Ctrl-C ends the run after the current step, with a checkpoint; a running evaluation is
abandoned.
With several processes, all go through the same steps in the same order, each with its share of the
data; only the first writes files other than checkpoints.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
from flax import linen as nn

from maskformer_jax.checkpoints.workdir import CHECKPOINTS, checkpoint_steps, write_description
from maskformer_jax.config import Config, DistributedConfig, TrainConfig
from maskformer_jax.config.fields import walk_fields
from maskformer_jax.config.io import to_json
from maskformer_jax.data.pipeline import train_batches
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.distributed import gather, is_primary, joined, require_same
from maskformer_jax.evaluation.metrics import MAIN_METRIC
from maskformer_jax.models.build import build_model
from maskformer_jax.progress import Progress
from maskformer_jax.run_record import record_start
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.early_stopping import has_stalled
from maskformer_jax.training.full_disk import naming_full_disk
from maskformer_jax.training.memory import naming_exhausted_memory
from maskformer_jax.training.mesh import abstract_arrays, make_mesh, put_batch, state_shardings
from maskformer_jax.training.metrics_log import MetricsLog
from maskformer_jax.training.optimizer import make_optimizer
from maskformer_jax.training.pretrained_backbone import load_backbone
from maskformer_jax.training.profiler import Profiler
from maskformer_jax.training.resume_check import check_resume
from maskformer_jax.training.run_data import RunData, describe_run, open_data
from maskformer_jax.training.start_weights import load_checkpoint
from maskformer_jax.training.state import TrainState, create_train_state, make_init
from maskformer_jax.training.step import make_train_step
from maskformer_jax.training.step_metrics import StepMetrics, step_image_ids
from maskformer_jax.training.stopping import StopRequest
from maskformer_jax.training.throughput import Throughput
from maskformer_jax.training.trackers import require_trackers
from maskformer_jax.training.validation import Validation
from maskformer_jax.training.workdir_lock import locked


class Training:
    """What a run sets up once and keeps from step to step.

    Attributes:
        config: the recipe.
        info: the data set's categories.
        mesh: the devices, all of which share every batch.
        model: the Flax module.
        fresh: compiled function without arguments that draws the initial state from the seed,
            directly onto its devices.
        template: shapes, dtypes and shardings of the state.
        step: compiled (state, batch) -> (state, metrics), see `make_train_step`.

    Args:
        config: the recipe.
        devices: of the mesh; by default all there are. Those of a `planning.topology` will do to
            lower and compile the step.
    """

    def __init__(self, config: Config, *, devices: Sequence[jax.Device] | None = None) -> None:
        self.config = config
        self.info = load_dataset_info(config.data.dataset)
        self.mesh = make_mesh(config.mesh, batch_size=config.train.batch_size, devices=devices)
        self.model: nn.Module = build_model(config.model, num_classes=self.info.num_classes)
        init = make_init(self.model, config)
        optimizer = make_optimizer(config, jax.eval_shape(init)["params"])

        def fresh() -> TrainState:
            return create_train_state(init(), optimizer, with_average=config.optim.ema_decay > 0)

        abstract = jax.eval_shape(fresh)
        shardings = state_shardings(abstract, self.mesh)
        self.fresh = jax.jit(fresh, out_shardings=shardings)
        self.template: TrainState = abstract_arrays(abstract, shardings)
        self.step = make_train_step(
            self.model,
            optimizer,
            config,
            num_classes=self.info.num_classes,
            mesh=self.mesh,
            shardings=shardings,
        )

    def initial_state(self) -> TrainState:
        """Return the state at step 0: drawn from the seed, then what the config starts from."""
        state, settings = self.fresh(), self.config.train
        if settings.init_checkpoint:
            state, summary = load_checkpoint(self.config, state, self.info.categories)
            _tell(summary)
        elif settings.init_backbone:
            state = load_backbone(self.config, state)
            _tell(f"loaded the backbone from {settings.init_backbone}")
        return state


def train(
    config: Config, workdir: Path, *, before: Callable[[Training], None] | None = None
) -> None:
    """Train in `workdir`, or resume there; the module's docstring gives the order.

    Args:
        config: the recipe.
        workdir: the folder for everything that the run writes.
        before: called in every process after the setup, before the run reads or writes anything.

    Raises:
        UserError: the data, a checkpoint or the config is wrong, or the loss is not finite.
        SystemExit: SIGTERM or Ctrl-C ended the run early, with a checkpoint.
    """
    with (
        joined(config.distributed),
        locked(workdir),
        naming_full_disk(workdir),
        naming_exhausted_memory(config),
    ):
        shared = replace(config, distributed=DistributedConfig())
        require_same(to_json(shared), what="config")
        require_trackers(config.train.trackers)
        data = open_data(config)
        changes = gather(check_resume(workdir, shared, data.info) if is_primary() else [])[0]
        training = Training(config)
        if before is not None:
            before(training)
        state = None
        if not gather(checkpoint_steps(workdir / CHECKPOINTS))[0]:
            state = training.initial_state()
        with Checkpoints(
            workdir,
            keep=config.train.keep_checkpoints,
            best_metric=MAIN_METRIC[config.eval.task],
        ) as checkpoints:
            if state is None:
                state = _resume(training, checkpoints, workdir, changes)
            if is_primary():
                write_description(workdir, shared, training.info)
                record_start(workdir)
                print(describe_run(config, data, training.mesh, state), flush=True)
            stop = _run_steps(training, state, data, checkpoints, workdir)
        if stop is not None:
            _tell(f"{workdir}: ended by {stop.cause} with step {stop.step} saved")
            raise SystemExit(stop.exit_status)


class _Stop(NamedTuple):
    """What ended a run early."""

    cause: str
    exit_status: int
    step: int  # the last one, by now saved


def _tell(line: str) -> None:
    if is_primary():
        print(line, flush=True)


def _resume(
    training: Training, checkpoints: Checkpoints, workdir: Path, changes: list[str]
) -> TrainState:
    state = checkpoints.restore(training.template, fresh=training.fresh)
    if state is None:  # the last checkpoint was moved away
        return training.initial_state()
    _tell(f"{workdir}: resuming from step {int(state.step)}")
    if changes:
        _tell("\n  ".join([f"{workdir}: changed since it was started:", *changes]))
    return state


def _run_steps(
    training: Training,
    state: TrainState,
    data: RunData,
    checkpoints: Checkpoints,
    workdir: Path,
) -> _Stop | None:
    """Run the remaining steps; returns what ended the run early, None if it went to the end."""
    config, mesh = training.config, training.mesh
    settings = config.train
    main_metric = MAIN_METRIC[config.eval.task]
    start = int(state.step)
    with (
        train_batches(
            config,
            source=data.source,
            start_step=start,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        ) as batches,
        MetricsLog(
            workdir,
            resume_step=start,
            enabled=is_primary(),
            trackers=settings.trackers,
            config={field.path: field.value for field in walk_fields(config)},
        ) as log,
        StopRequest() as stop,
        Profiler(workdir, settings.profile_steps if is_primary() else ()) as profiler,
        Progress(
            settings.num_steps, description="train", initial=start, enabled=is_primary()
        ) as progress,
    ):
        throughput = Throughput(batch_size=settings.batch_size, first_step=start)
        step_metrics = StepMetrics(partial(step_image_ids, config=config, mesh=mesh))
        validation = Validation(
            training.model,
            config,
            info=training.info,
            mesh=mesh,
            workdir=workdir,
            log=log,
            examples=data.evaluation,
        )

        if start and _is_due(start, settings.eval_every, settings):
            if not validation.is_recorded(start):  # SIGTERM cut it short
                with throughput.paused():
                    validation.run(state, step=start, stop=stop)
            if stop.stopped:
                return _Stop(stop.cause, stop.exit_status, start)
        if has_stalled(workdir, config):
            return None

        for step in range(start + 1, settings.num_steps + 1):
            # Take a batch.
            profiler.before(step)
            with throughput.waiting_for_data():
                batch = next(batches)

            # Update.
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                state, metrics = training.step(state, put_batch(batch, mesh))
            if step == start + 1:
                progress.restart_rate()
                throughput.restart(start)
            profiler.after(step, state)
            step_metrics.add(step, metrics)
            stopping = stop.reached()
            log_due = _is_due(step, settings.log_every, settings)
            eval_due = _is_due(step, settings.eval_every, settings) and not stopping
            save_due = _is_due(step, settings.checkpoint_every, settings) or stopping

            # Log.
            if log_due or eval_due or save_due:
                newest = step_metrics.fetch()
                if log_due:
                    log.write(step, {**newest, **throughput.report(step)})
                progress.update(1, loss=newest["loss"])
            else:
                progress.update(1)

            # Evaluate.
            scores = None
            if eval_due:
                with throughput.paused():
                    scores = validation.run(state, step=step, stop=stop)
                if scores is not None:
                    progress.update(0, **{main_metric: scores[main_metric]})

            # Save; a request to stop may have come during the evaluation.
            stopping = stop.stopped
            stalled = scores is not None and has_stalled(workdir, config)
            if save_due or stopping or stalled:
                with throughput.paused():
                    checkpoints.save(state, config, scores)
            if stopping:
                return _Stop(stop.cause, stop.exit_status, step)
            if stalled:
                break
    return None


def _is_due(step: int, every: int, settings: TrainConfig) -> bool:
    return step % every == 0 or step == settings.num_steps
