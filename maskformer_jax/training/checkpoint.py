"""Saving and resuming a run: model, optimizer state, position in the data, config.

The data is a pure function of (seed, step), so its position is the step number. Items are
written apart so that evaluation need not read the optimizer state. `model` holds what is
evaluated: with `optim.ema_decay` the averaged parameters, and those being trained lie in `raw`.
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import checkpoint_managers

from maskformer_jax.checkpoint_io import (
    CHECKPOINTS,
    CONFIG_FILE,
    checkpoint_steps,
    first_line,
    restore_item,
)
from maskformer_jax.config import Config
from maskformer_jax.config_io import to_json
from maskformer_jax.errors import UserError
from maskformer_jax.training.state import TrainState, model_variables


class Checkpoints:
    """The checkpoints of one workdir. A context manager: leaving it waits for pending writes.

    The newest `keep` checkpoints stay, and the one with the best `best_metric` besides. Writing
    happens in the background and is atomic: a checkpoint appears under its step number once it is
    complete.
    """

    def __init__(self, workdir: Path, *, keep: int, best_metric: str = "mIoU") -> None:
        self._folder = workdir.absolute() / CHECKPOINTS

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
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def save(self, state: TrainState, config: Config, metrics: dict[str, float] | None) -> None:
        """Starts writing the state under its step number."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        items = {
            "model": ocp.args.StandardSave(model_variables(state)),
            "opt": ocp.args.StandardSave(state.opt_state),
            "meta": ocp.args.JsonSave({"step": step, "config": to_json(config)}),
        }
        if state.ema_params is not None:
            items["raw"] = ocp.args.StandardSave(state.params)
        numbers = None if metrics is None else {k: float(v) for k, v in metrics.items()}
        self._manager.save(step, args=ocp.args.Composite(**items), metrics=numbers)

    def restore(self, template: TrainState) -> TrainState | None:
        """The newest state that can be read; None where there is no checkpoint yet.

        Args:
            template: Shapes, dtypes and shardings of the state; the checkpoint may come from
                another number of devices.

        Raises:
            UserError: the checkpoint is another model's, or there are checkpoints and none can
                be read.
        """
        errors = []
        for folder in checkpoint_steps(self._folder):
            try:
                state = _read(folder, template)
            except UserError:
                raise
            except Exception as error:  # what a damaged file raises depends on where it is damaged
                errors.append(f"{folder}: {first_line(error)}")
                logging.warning("%s cannot be read, trying the one before: %s", folder, error)
                continue
            self._forget_after(int(folder.name))
            return state
        if errors:
            raise UserError("no checkpoint could be read:\n" + "\n".join(errors))
        return None

    def wait(self) -> None:
        """Blocks until everything saved is on disk."""
        self._manager.wait_until_finished()

    def _forget_after(self, step: int) -> None:
        """Deletes the damaged checkpoints newer than the one in use: they stand in its way."""
        for newer in [other for other in self._manager.all_steps() if other > step]:
            self._manager.delete(newer)


def write_config(workdir: Path, config: Config) -> None:
    """Writes `config.json` into the workdir, all at once or not at all."""
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = workdir / f"{CONFIG_FILE}.tmp"
    temporary.write_text(to_json(config))
    temporary.replace(workdir / CONFIG_FILE)


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
