"""A run that is killed and started again ends where an uninterrupted run ends, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from maskformer_jax.config import Config
from maskformer_jax.config.io import to_json
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.loop import Training, train
from maskformer_jax.training.metrics_log import MetricsLog, read_metrics
from maskformer_jax.training.state import TrainState

RUN = """
import sys
from pathlib import Path
from maskformer_jax.config.io import from_json
from maskformer_jax.training.loop import train
if __name__ == "__main__":
    train(from_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
"""


def final_state(config: Config, workdir: Path) -> TrainState:
    with Checkpoints(workdir, keep=2) as checkpoints:
        state = checkpoints.restore(Training(config).template)
    assert state is not None
    assert int(state.step) == config.train.num_steps
    return state


def losses(workdir: Path) -> list[tuple]:
    """Every training line without its wall-clock numbers."""
    wall_clock = ("steps_per_second", "images_per_second", "data_wait_share")
    return [
        tuple(sorted((name, value) for name, value in line.items() if name not in wall_clock))
        for line in read_metrics(workdir)
    ]


def assert_same_run(config: Config, one: Path, other: Path) -> None:
    ours, theirs = final_state(config, one), final_state(config, other)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(left, right)
    assert losses(one) == losses(other)


def test_killed_run_ends_like_an_uninterrupted_one(tiny_config: Config, tmp_path: Path) -> None:
    script, file = tmp_path / "run.py", tmp_path / "config.json"
    script.write_text(RUN)
    file.write_text(to_json(tiny_config))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(file), str(killed)]
    kill_at = random.randint(4, 7)  # after the first checkpoint, before the end

    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 600
    while not any(line["step"] >= kill_at for line in read_metrics(killed)):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert max(line["step"] for line in read_metrics(killed)) < tiny_config.train.num_steps

    subprocess.run(command, env=environment, check=True, timeout=600)
    train(tiny_config, whole)
    assert [line["step"] for line in read_metrics(killed) if "loss" in line] == list(range(1, 9))
    assert_same_run(tiny_config, killed, whole)


def test_damaged_newest_checkpoint_is_passed_over(
    tiny_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_config.train.num_steps = 6
    train(tiny_config, tmp_path)
    newest = tmp_path / "checkpoints" / "6"
    for file in (newest / "model").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:10])
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        state = checkpoints.restore(Training(tiny_config).template)
    assert state is not None
    assert int(state.step) == 3
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
