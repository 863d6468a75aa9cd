"""Where metrics and pictures of a run go beside metrics.jsonl: TensorBoard, W&B, MLflow.

A tracker is a class with the three methods of `Tracker`. W&B and MLflow are used if
`train.trackers` names them; both find their server and project in their own environment
variables (WANDB_PROJECT, WANDB_MODE, MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...). A run that
is resumed goes on in the run of the same name there.
"""

import importlib
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.errors import UserError
from maskformer_jax.json_files import read_json

RUNS_FILE = "trackers.json"  # in the workdir: the id of the run in each service
_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}


@runtime_checkable
class Tracker(Protocol):
    """What a run tells."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Take finite numbers by name."""

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Take a picture, uint8 RGB [H, W, 3]."""

    def close(self) -> None:
        """End the run."""


class TensorBoard:
    """Events in `WORKDIR/tensorboard`."""

    def __init__(self, workdir: Path, *, first_step: int) -> None:
        self._writer = _open_events(workdir / "tensorboard", first_step=first_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write an event for each."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Write it as an event."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left.

        Raises:
            OSError: that is impossible, for example because the disk is full.
        """
        try:
            self._writer.close()
        except OSError:
            # tensorboardX would try again when the process ends, and print that it failed again.
            self._writer.file_writer.event_writer = _Closed()
            raise


class Wandb:
    """A run of Weights & Biases."""

    def __init__(self, workdir: Path, *, run_id: str, config: Mapping[str, Any]) -> None:
        self._wandb: Any = importlib.import_module("wandb")
        name = workdir.absolute().name
        self._run = self._wandb.init(
            id=run_id, name=name, resume="allow", config=dict(config), dir=str(workdir)
        )
        # W&B's own step only rises, but a resumed run repeats those after its checkpoint.
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log them with their step."""
        self._run.log({"step": step, **values})

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log it with its step."""
        self._run.log({"step": step, name: self._wandb.Image(image)})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class MLflow:
    """A run of MLflow."""

    def __init__(self, workdir: Path, *, run_id: str, config: Mapping[str, Any]) -> None:
        self._client: Any = importlib.import_module("mlflow").MlflowClient()
        self._run_id = run_id or self._start(workdir, config)

    @property
    def run_id(self) -> str:
        """Which MLflow gives a new run."""
        return self._run_id

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log each; MLflow allows fewer characters in names than we use for classes."""
        for name, value in values.items():
            self._client.log_metric(self._run_id, _plain(name), float(value), step=step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Log it as an artifact."""
        self._client.log_image(self._run_id, image, f"{_plain(name)}/{step}.png")

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run_id)

    def _start(self, workdir: Path, config: Mapping[str, Any]) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "maskformer-jax")
        experiment = self._client.get_experiment_by_name(name)
        identity = experiment.experiment_id if experiment else self._client.create_experiment(name)
        run = self._client.create_run(identity, run_name=workdir.absolute().name)
        for key, value in config.items():
            self._client.log_param(run.info.run_id, key, str(value)[:500])
        return str(run.info.run_id)


def require_trackers(names: Sequence[str]) -> None:
    """Find out whether trackers are installed, before anything is written.

    Raises:
        UserError: one is not.
    """
    for name in names:
        try:
            importlib.import_module(_PACKAGES[name])
        except ImportError as error:
            raise UserError(
                f"config.train.trackers names '{name}', which is not installed: "
                f"pip install {_PACKAGES[name]}"
            ) from error


def open_trackers(
    names: Sequence[str], workdir: Path, *, first_step: int, config: Mapping[str, Any]
) -> list[Tracker]:
    """Open TensorBoard and the named services.

    Args:
        names: of `train.trackers`.
        workdir: of the run.
        first_step: that this process will log; TensorBoard drops later events of earlier ones.
        config: the fields of the run by their path.

    Raises:
        UserError: `trackers.json` is damaged.
    """
    trackers: list[Tracker] = [TensorBoard(workdir, first_step=first_step)]
    path = workdir / RUNS_FILE
    ids: dict[str, str] = read_json(path) if path.is_file() else {}
    for name in names:
        if name == "wandb":
            ids.setdefault(name, secrets.token_hex(8))
            trackers.append(Wandb(workdir, run_id=ids[name], config=config))
        else:
            tracker = MLflow(workdir, run_id=ids.get(name, ""), config=config)
            ids[name] = tracker.run_id
            trackers.append(tracker)
        write_atomically(path, json.dumps(ids, indent=2) + "\n")
    return trackers


class _Closed:
    """Stands in for an event writer that could not be closed."""

    def close(self) -> None:
        """Do nothing."""


def _plain(name: str) -> str:
    allowed = "_-./ "
    return "".join(c if c.isascii() and (c.isalnum() or c in allowed) else "_" for c in name)


def _open_events(folder: Path, *, first_step: int) -> Any:
    # tensorboardX imports PyTorch if it is installed, which takes seconds and is not needed here.
    # None marks a module as not importable, which tensorboardX handles.
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        from tensorboardX import SummaryWriter
    finally:
        if absent:
            del sys.modules["torch"]
    return SummaryWriter(str(folder), purge_step=first_step)
