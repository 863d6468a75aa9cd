"""Saving and restoring the train state of a run.

The data is a pure function of (seed, step), so the step number alone is its position. The items of
a checkpoint (see `checkpoints/workdir.py`) are separate, so that evaluation need not read the
optimizer state. `model` holds what is evaluated: with `optim.ema_decay` the averaged parameters;
those being trained are then in a fourth item, `raw`.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import LogRecord
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import checkpoint_managers

from maskformer_jax.checkpoints.digests import find_damage, write_digests
from maskformer_jax.checkpoints.workdir import (
    CHECKPOINTS,
    checkpoint_steps,
    describe_config,
    first_line,
    restore_item,
)
from maskformer_jax.config import Config
from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.errors import UserError
from maskformer_jax.training.state import TrainState, model_variables

DAMAGED = "damaged"  # the workdir's folder for checkpoints that Orbax would fail on


class _Manager(ocp.CheckpointManager):
    def reached_preemption(self, step: int) -> bool:
        # `StopRequest` polls and counts its calls. Calls by Orbax in between would make the
        # processes disagree about the step at which to stop.
        del step
        return False


class Checkpoints:
    """The checkpoints of one workdir. A context manager; leaving it waits for pending writes.

    Writing happens in the background and is atomic: a checkpoint appears under its step number
    once it is complete. With several processes, all must call the same methods in the same order.

    Args:
        workdir: the run's folder; checkpoints are in `checkpoints/STEP`.
        keep: how many of the newest checkpoints to keep.
        best_metric: the one checkpoint with the highest value of this metric is kept as well.
    """

    def __init__(self, workdir: Path, *, keep: int, best_metric: str = "mIoU") -> None:
        self._folder = workdir.absolute() / CHECKPOINTS
        self._pending = 0  # the step being written
        self._set_aside = gather(_set_aside(self._folder) if is_primary() else [])[0]

        def best(metrics: dict[str, Any]) -> float:
            return metrics[best_metric]

        best_one = checkpoint_managers.BestN(
            get_metric_fn=best, n=1, keep_checkpoints_without_metrics=False
        )
        policy = checkpoint_managers.AnyPreservationPolicy(
            [checkpoint_managers.LatestN(keep), best_one]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            best_fn=best,
            best_mode="max",
            cleanup_tmp_directories=True,
            # Called by process 0 once all files are written, before the folder is renamed.
            async_options=ocp.AsyncOptions(post_finalization_callback=self._add_digests),
        )
        self._manager = _Manager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        logging.get_absl_logger().addFilter(_is_news)
        return self

    def __exit__(self, *exception: object) -> None:
        logging.get_absl_logger().removeFilter(_is_news)
        with self._naming_failures(raising=exception[0] is None):
            self._manager.close()

    def save(self, state: TrainState, config: Config, metrics: dict[str, float] | None) -> None:
        """Start writing the state under its step number; does nothing if that step is saved.

        Args:
            state: saved on all processes together.
            config: stored with it.
            metrics: scores of this state, by name; None if it was not evaluated.

        Raises:
            UserError: this checkpoint or the previous one could not be written; complete ones
                remain.
        """
        step = int(state.step)
        with self._naming_failures():
            self._manager.wait_until_finished()
            if step in self._manager.all_steps():
                return
            self._pending = step
            kept = describe_config(self._folder.parent, config)
            meta = {"step": step, "digests": True, "config": kept}
            items = {
                "model": ocp.args.StandardSave(model_variables(state)),
                "opt": ocp.args.StandardSave(state.opt_state),
                "meta": ocp.args.JsonSave(meta),
            }
            if state.ema_params is not None:
                items["raw"] = ocp.args.StandardSave(state.params)
            numbers = None if metrics is None else {k: float(v) for k, v in metrics.items()}
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=numbers)

    def restore(
        self, template: TrainState, *, fresh: Callable[[], TrainState] | None = None
    ) -> TrainState | None:
        """Restore the newest checkpoint that can be read; None if there are none yet.

        Args:
            template: shapes, dtypes and shardings of the state. The checkpoint may have been
                written by another number of devices and processes.
            fresh: makes the state at step 0, whose optimizer state is for checkpoints without one
                (those of `convert`); without it such checkpoints cannot be read.

        Raises:
            UserError: the checkpoint is of another model, or none of the checkpoints can be read.
        """
        problems: list[str] = list(self._set_aside)
        for folder in gather(checkpoint_steps(self._folder))[0]:
            # One process checks for all: they share the files and must come to the same decision.
            damage = gather(find_damage(folder) if is_primary() else [])[0]
            state = None
            if not damage:
                try:
                    state = _read(folder, template, fresh)
                except UserError:
                    raise
                except Exception as error:  # its type depends on which file is damaged
                    damage = [f"{folder} cannot be read: {first_line(error)}"]
                damage = [line for lines in gather(damage) for line in lines]
            if damage or state is None:
                logging.warning(
                    "%s is damaged, trying the previous checkpoint:\n%s", folder, "\n".join(damage)
                )
                problems += damage
                continue
            if problems and is_primary():
                print(f"{folder}: restored, because newer ones are damaged", file=sys.stderr)
            self._delete_after(int(folder.name))
            return state
        if problems:
            raise UserError("no checkpoint could be read:\n" + "\n".join(problems))
        return None

    def wait(self) -> None:
        """Wait until everything saved is on disk.

        Raises:
            UserError: it could not be written.
        """
        with self._naming_failures():
            self._manager.wait_until_finished()

    def _delete_after(self, step: int) -> None:
        """Delete damaged checkpoints newer than the restored one, whose names will be reused."""
        for newer in [other for other in self._manager.all_steps() if other > step]:
            self._manager.delete(newer)

    def _add_digests(self) -> None:
        for folder in self._folder.glob(f"{self._pending}.orbax-checkpoint-tmp*"):
            write_digests(folder)

    @contextmanager
    def _naming_failures(self, *, raising: bool = True) -> Iterator[None]:
        """Turn a failed write into an error that names the checkpoint and those that are left."""
        try:
            yield
        except Exception as error:  # from Orbax, TensorStore or the operating system
            left = ", ".join(folder.name for folder in checkpoint_steps(self._folder)) or "none"
            message = (
                f"{self._folder / str(self._pending)} could not be written: {first_line(error)}. "
                f"Complete checkpoints: {left}. Once there is space on the disk, the same command "
                "resumes from the newest of them"
            )
            if raising:
                raise UserError(message) from error
            logging.error("%s", message)  # another exception is already propagating


def _is_news(record: LogRecord) -> bool:
    """Drop Orbax's warning about every checkpoint that was not evaluated, as most are not."""
    return "tracked_metric" not in str(record.msg)


def _set_aside(folder: Path) -> list[str]:
    """Move checkpoints with damaged scores away, since Orbax reads all scores when it starts."""
    problems = []
    for step in checkpoint_steps(folder):
        damage = find_damage(step, item="metrics")
        if damage:
            target = folder.parent / DAMAGED / step.name
            logging.warning("%s is damaged, moving it to %s:\n%s", step, target, "\n".join(damage))
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            step.replace(target)
            problems += damage
    return problems


def _read(folder: Path, template: TrainState, fresh: Callable[[], TrainState] | None) -> TrainState:
    """Read one checkpoint; `optim.ema_decay` may have been switched on or off since."""
    model = restore_item(folder / "model", model_variables(template))
    if fresh is not None and not (folder / "opt").is_dir():
        if is_primary():
            print(f"{folder}: has no optimizer state; the optimizer starts anew", flush=True)
        opt_state = fresh().opt_state
    else:
        opt_state = restore_item(folder / "opt", template.opt_state)
    params = average = model["params"]
    if (folder / "raw").is_dir():
        params = restore_item(folder / "raw", template.params)
    elif template.ema_params is not None:  # the option is new: the average starts here
        average = jax.tree.map(jax.numpy.copy, params)
    return TrainState(
        step=jax.device_put(jax.numpy.int32(int(folder.name)), template.step.sharding),
        params=params,
        constants=model.get("constants", {}),
        opt_state=opt_state,
        ema_params=None if template.ema_params is None else average,
    )
