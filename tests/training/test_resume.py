"""A run that is killed and started again ends where an uninterrupted run ends, bit for bit."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from maskformer_jax.config import Config
from maskformer_jax.config.io import to_json
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.loop import Training, train
from maskformer_jax.training.metrics_log import MetricsLog
from maskformer_jax.training.state import TrainState

RUN = """
import sys
from pathlib import Path
from maskformer_jax.config.io import from_json
from maskformer_jax.training.loop import train
if __name__ == "__main__":
    train(from_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
"""


@dataclass
class Run:
    """A finished run that nothing has interrupted."""

    config: Config
    workdir: Path
    template: TrainState


@pytest.fixture(scope="module")
def whole(tiny_recipe: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = deepcopy(tiny_recipe)
    config.model.transformer_decoder.num_layers = 1
    config.model.head = "per_pixel_plus"  # no callback, so that the compile cache keeps the step
    workdir = tmp_path_factory.mktemp("whole")
    train(config, workdir)
    return Run(config, workdir, Training(config).template)


def saved_state(workdir: Path, template: TrainState) -> TrainState:
    with Checkpoints(workdir, keep=2) as checkpoints:
        state = checkpoints.restore(template)
    assert state is not None
    return state


def log_lines(workdir: Path) -> list[tuple]:
    """Every line without its wall-clock numbers."""
    wall_clock = ("steps_per_second", "images_per_second", "data_wait_share", "host_memory_gb")
    return [
        tuple(sorted((name, value) for name, value in line.items() if name not in wall_clock))
        for line in read_metrics(workdir)
    ]


def test_killed_run_ends_like_an_uninterrupted_one(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, file, killed = tmp_path / "run.py", tmp_path / "config.json", tmp_path / "killed"
    script.write_text(RUN)
    file.write_text(to_json(whole.config))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(file), str(killed)]
    kill_at = random.randint(4, 6)  # and with a checkpoint, which is written while steps go on

    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 600
    saved = killed / "checkpoints" / "3"
    while not (saved.is_dir() and any(line["step"] >= kill_at for line in read_metrics(killed))):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert max(line["step"] for line in read_metrics(killed)) < whole.config.train.num_steps

    # Goes on in this process, which knows nothing of the other; tools/kill_test.py starts anew.
    train(whole.config, killed)
    assert re.search("resuming from step [36]", capsys.readouterr().out)
    assert [line["step"] for line in read_metrics(killed) if "loss" in line] == list(range(1, 9))
    assert log_lines(killed) == log_lines(whole.workdir)
    ours, expected = (saved_state(workdir, whole.template) for workdir in (killed, whole.workdir))
    assert int(ours.step) == whole.config.train.num_steps
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_damaged_newest_checkpoint_is_passed_over(
    whole: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(whole.workdir, workdir)
    newest = workdir / "checkpoints" / "8"
    for file in (newest / "model").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:10])
    assert int(saved_state(workdir, whole.template).step) == 6
    assert str(newest) in caplog.text


def test_metrics_log_forgets_what_no_checkpoint_holds(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, resume_step=0) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": step / 3})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 4, "lo')  # cut off by the kill
    with MetricsLog(tmp_path, resume_step=2) as log:
        log.write(3, {"loss": 7.0})
    assert read_metrics(tmp_path) == [
        {"step": 1, "loss": 1 / 3},
        {"step": 2, "loss": 2 / 3},
        {"step": 3, "loss": 7.0},
    ]


def test_metrics_log_is_json_for_everybody(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, resume_step=0) as log:
        log.write(
            1, {"eval/PQ": float("nan"), "loss": np.float32("inf")}, {"eval/PQ/stra\u00dfe": 2.0}
        )

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (line,) = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    expected = {"step": 1, "eval/PQ": None, "loss": None, "eval/PQ/stra\u00dfe": 2.0}
    assert json.loads(line, parse_constant=refuse) == expected
    with MetricsLog(tmp_path, resume_step=1):
        pass
    assert read_metrics(tmp_path) == [expected]
