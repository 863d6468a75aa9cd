"""Saving and resuming a run: model, optimizer state, position in the data, config.

The data is a pure function of (seed, step), so its position is the step number. Items are
written apart so that evaluation need not read the optimizer state. `model` holds what is
evaluated: with `optim.ema_decay` the averaged parameters, and those being trained lie in `raw`.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import checkpoint_managers

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.checkpoints.digests import find_damage, write_digests
from maskformer_jax.checkpoints.workdir import (
    CHECKPOINTS,
    CONFIG_FILE,
    checkpoint_steps,
    first_line,
    restore_item,
)
from maskformer_jax.config import Config
from maskformer_jax.config.io import to_json
from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.errors import UserError
from maskformer_jax.training.state import TrainState, model_variables

DAMAGED = "damaged"  # the folder for checkpoints that were moved out of the way


class _Manager(ocp.CheckpointManager):
    def reached_preemption(self, step: int) -> bool:
        # The loop asks, and counts its questions; others in between would confuse the processes
        # about the step at which they stop together.
        del step
        return False


class Checkpoints:
    """The checkpoints of one workdir. A context manager: leaving it waits for pending writes.

    The newest `keep` checkpoints stay, and the one with the best `best_metric` besides. Writing
    happens in the background and is atomic: a checkpoint appears under its step number once it is
    complete.
    With several processes, all call the same methods in the same order.
    """

    def __init__(self, workdir: Path, *, keep: int, best_metric: str = "mIoU") -> None:
        self._folder = workdir.absolute() / CHECKPOINTS
        self._pending = 0  # the step that is being written
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
            # Called by process 0 when all files are written, before the folder gets its name.
            async_options=ocp.AsyncOptions(post_finalization_callback=self._add_digests),
        )
        self._manager = _Manager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._naming_failures(raising=exception[0] is None):
            self._manager.close()

    def save(self, state: TrainState, config: Config, metrics: dict[str, float] | None) -> None:
        """Starts writing the state under its step number.

        Raises:
            UserError: it cannot be written, or the one before could not be; those that are
                complete stay.
        """
        step = int(state.step)
        with self._naming_failures():
            self._manager.wait_until_finished()
            if step in self._manager.all_steps():
                return
            self._pending = step
            meta = {"step": step, "digests": True, "config": to_json(config)}
            items = {
                "model": ocp.args.StandardSave(model_variables(state)),
                "opt": ocp.args.StandardSave(state.opt_state),
                "meta": ocp.args.JsonSave(meta),
            }
            if state.ema_params is not None:
                items["raw"] = ocp.args.StandardSave(state.params)
            numbers = None if metrics is None else {k: float(v) for k, v in metrics.items()}
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=numbers)

    def restore(self, template: TrainState) -> TrainState | None:
        """The newest state that can be read; None where there is no checkpoint yet.

        Args:
            template: Shapes, dtypes and shardings of the state; the checkpoint may come from
                another number of devices and processes.

        Raises:
            UserError: the checkpoint is another model's, or there are checkpoints and none can
                be read.
        """
        problems: list[str] = list(self._set_aside)
        for folder in gather(checkpoint_steps(self._folder))[0]:
            # One process looks, for all: the files are the same, and so has to be the decision.
            damage = gather(find_damage(folder) if is_primary() else [])[0]
            state = None
            if not damage:
                try:
                    state = _read(folder, template)
                except UserError:
                    raise
                except Exception as error:  # what damage raises depends on where it is
                    damage = [f"{folder} cannot be read: {first_line(error)}"]
                damage = [line for lines in gather(damage) for line in lines]
            if damage or state is None:
                logging.warning(
                    "%s is damaged, trying the checkpoint before:\n%s", folder, "\n".join(damage)
                )
                problems += damage
                continue
            if problems and is_primary():
                print(f"{folder}: taken, because newer ones are damaged", file=sys.stderr)
            self._forget_after(int(folder.name))
            return state
        if problems:
            raise UserError("no checkpoint could be read:\n" + "\n".join(problems))
        return None

    def wait(self) -> None:
        """Blocks until everything saved is on disk.

        Raises:
            UserError: it could not be written.
        """
        with self._naming_failures():
            self._manager.wait_until_finished()

    def _forget_after(self, step: int) -> None:
        """Deletes the damaged checkpoints newer than the one in use: they stand in its way."""
        for newer in [other for other in self._manager.all_steps() if other > step]:
            self._manager.delete(newer)

    def _add_digests(self) -> None:
        for folder in self._folder.glob(f"{self._pending}.orbax-checkpoint-tmp*"):
            write_digests(folder)

    @contextmanager
    def _naming_failures(self, *, raising: bool = True) -> Iterator[None]:
        """Says of a failed write what failed and what is left."""
        try:
            yield
        except Exception as error:  # of Orbax, TensorStore or the system, whoever noticed first
            left = ", ".join(folder.name for folder in checkpoint_steps(self._folder)) or "none"
            message = (
                f"{self._folder / str(self._pending)} could not be written: {first_line(error)}. "
                f"Complete checkpoints: {left}. With room on the disk, the same command goes on "
                "from the newest of them"
            )
            if raising:
                raise UserError(message) from error
            logging.error("%s", message)  # another error is on its way already


def write_config(workdir: Path, config: Config) -> None:
    """Writes `config.json` into the workdir, all at once or not at all."""
    write_atomically(workdir / CONFIG_FILE, to_json(config))


def _set_aside(folder: Path) -> list[str]:
    """Moves checkpoints away whose scores are damaged: Orbax reads those of all, at the start."""
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


def _read(folder: Path, template: TrainState) -> TrainState:
    model = restore_item(folder / "model", model_variables(template))
    opt_state = restore_item(folder / "opt", template.opt_state)
    params = average = model["params"]
    if (folder / "raw").is_dir():
        params = restore_item(folder / "raw", template.params)
    elif template.ema_params is not None:  # the average starts here
        average = jax.tree.map(jax.numpy.copy, params)
    return TrainState(
        step=jax.device_put(jax.numpy.int32(int(folder.name)), template.step.sharding),
        params=params,
        constants=model.get("constants", {}),
        opt_state=opt_state,
        ema_params=None if template.ema_params is None else average,
    )
