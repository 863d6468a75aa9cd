"""A run that is killed and started again ends where an uninterrupted run ends, bit for bit.

`tools/kill_test.py` does the work; these are its short forms. test_resume.py has one for every day.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskformer_jax.config.io import to_json
from maskformer_jax.data.tfds_builders.shapes import prepare_shapes
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.training.stopping import EXIT_STATUS
from tools.kill_test import log_lines, small_config, start, wait

REPOSITORY = Path(__file__).parents[2]


def kill_test(*options: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tools.kill_test", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing lost" in result.stdout


@pytest.mark.slow
def test_kills() -> None:
    kill_test("--kills=8")


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_kills_of_one_of_two_processes(signal: str) -> None:
    kill_test("--kills=3", "--processes=2", f"--faults={signal}")


@pytest.mark.slow
def test_two_processes_save_and_end_within_30_seconds_of_sigterm(tmp_path: Path) -> None:
    prepare_shapes(tmp_path / "shapes", num_train=12, num_val=5)
    config = small_config(tmp_path / "shapes", head="per_pixel_plus", steps=20_000)
    config.train.checkpoint_every = config.train.eval_every = 10_000
    file, workdir = tmp_path / "config.json", tmp_path / "run"
    file.write_text(to_json(config))
    processes = start(file, workdir, processes=2)
    try:
        deadline = time.monotonic() + 900
        while not any(line["step"] >= 3 for line in read_metrics(workdir)):
            assert all(process.poll() is None for process in processes)
            assert time.monotonic() < deadline
            time.sleep(0.1)
        processes[1].send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert wait(processes, 30) == [EXIT_STATUS, EXIT_STATUS]
        print(f"ended after {time.monotonic() - began:.1f} s")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    [step] = (int(folder.name) for folder in (workdir / "checkpoints").iterdir())
    assert step == max(line["step"] for line in read_metrics(workdir)) < 10_000
    log = (tmp_path / "run.0.log").read_text()
    assert f"ended by SIGTERM with step {step} saved" in log


@pytest.mark.slow
def test_two_processes_train_and_score_like_one(tmp_path: Path) -> None:
    prepare_shapes(tmp_path / "shapes", num_train=12, num_val=5)  # an uneven last share
    config = small_config(tmp_path / "shapes", head="per_pixel_plus", steps=8)
    file = tmp_path / "config.json"
    file.write_text(to_json(config))
    logs = []
    for processes, devices in ((2, 1), (1, 2)):
        workdir = tmp_path / f"run{processes}"
        started = start(file, workdir, processes=processes, devices=devices)
        assert wait(started, 1800) == [0] * processes
        logs.append(log_lines(workdir))
    assert len([line for line in logs[0] if "eval/mIoU" in line]) == 2
    assert logs[0] == logs[1]
