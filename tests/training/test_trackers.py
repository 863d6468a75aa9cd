"""W&B and MLflow get what metrics.jsonl gets; a resumed run goes on in theirs."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskformer_jax.errors import UserError
from maskformer_jax.training.metrics_log import MetricsLog
from maskformer_jax.training.trackers import require_trackers


class FakeWandb:
    """Keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def init(self, **options: Any) -> Any:
        self.calls.append(("init", options))
        return SimpleNamespace(
            define_metric=lambda *args, **options: None,
            log=lambda values: self.calls.append(("log", values)),
            finish=lambda: self.calls.append(("finish", None)),
        )

    def Image(self, image: np.ndarray) -> str:  # noqa: N802
        return f"image {image.shape}"


class FakeMlflow:
    """The client, and what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.runs = 0

    def MlflowClient(self) -> "FakeMlflow":  # noqa: N802
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="e") if self.runs else None

    def create_experiment(self, name: str) -> str:
        return "e"

    def create_run(self, experiment: str, run_name: str) -> Any:
        self.runs += 1
        return SimpleNamespace(info=SimpleNamespace(run_id=f"run{self.runs}"))

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: self.calls.append((name, *args, *options.values()))


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeWandb, FakeMlflow]:
    wandb, mlflow = FakeWandb(), FakeMlflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    return wandb, mlflow


def write_some(workdir: Path, *, resume_step: int) -> None:
    with MetricsLog(
        workdir,
        resume_step=resume_step,
        trackers=("wandb", "mlflow"),
        config={"train.batch_size": 4},
    ) as log:
        values = {"loss": 1.5, "eval/IoU of <road>": float("nan")}
        log.write(resume_step + 1, values, {"eval/IoU/sky": 3.0})
        log.picture(resume_step + 1, "eval/photo", np.zeros((4, 5, 3), np.uint8))


def test_services_get_finite_numbers_and_pictures(
    services: tuple[FakeWandb, FakeMlflow], tmp_path: Path
) -> None:
    wandb, mlflow = services
    write_some(tmp_path, resume_step=0)
    logged = [values for kind, values in wandb.calls if kind == "log"]
    assert logged == [
        {"step": 1, "loss": 1.5},
        {"step": 1, "eval/photo": "image (4, 5, 3)"},
    ]
    assert wandb.calls[0][1]["config"] == {"train.batch_size": 4}
    assert wandb.calls[-1][0] == "finish"
    assert ("log_metric", "run1", "loss", 1.5, 1) in mlflow.calls
    assert ("log_param", "run1", "train.batch_size", "4") in mlflow.calls
    assert mlflow.calls[-1] == ("set_terminated", "run1")
    assert len([call for call in mlflow.calls if call[0] == "log_metric"]) == 1


def test_resumed_run_goes_on_in_theirs(
    services: tuple[FakeWandb, FakeMlflow], tmp_path: Path
) -> None:
    wandb, mlflow = services
    write_some(tmp_path, resume_step=0)
    write_some(tmp_path, resume_step=1)
    starts = [options["id"] for kind, options in wandb.calls if kind == "init"]
    assert starts[0] == starts[1]
    assert mlflow.runs == 1
    assert json.loads((tmp_path / "trackers.json").read_text())["mlflow"] == "run1"


def test_names_that_mlflow_refuses_are_changed(
    services: tuple[FakeWandb, FakeMlflow], tmp_path: Path
) -> None:
    with MetricsLog(tmp_path, resume_step=0, trackers=("mlflow",)) as log:
        log.write(1, {"eval/IoU <Straße>": 2.0})
    assert ("log_metric", "run1", "eval/IoU _Stra_e_", 2.0, 1) in services[1].calls


def test_service_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        require_trackers(["wandb"])
