"""Training in a store: killed at any moment, resumed, evaluated; nothing is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.checkpoints.workdir import newest_step, restore_all_variables
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.remote.mirror import Mirror

ROOT = Path(__file__).parents[2]
STEPS = 40
CHANGES = {
    "model.backbone.width": 8,
    "model.backbone.norm": "frozen_batch_norm",
    "model.pixel_decoder.conv_dim": 32,
    "model.pixel_decoder.mask_dim": 32,
    "model.transformer_decoder.hidden_dim": 32,
    "model.transformer_decoder.ffn_dim": 32,
    "model.transformer_decoder.num_layers": 1,
    "model.transformer_decoder.num_queries": 6,
    "data.augment.short_edges": "(64,)",
    "data.augment.crop_size": "(64,64)",
    "data.num_segments": 8,
    "optim.warmup_steps": 4,
    "train.num_steps": STEPS,
    "train.batch_size": 4,
    "train.log_every": 1,
    "train.checkpoint_every": 5,
    "train.eval_every": STEPS,
    "eval.short_edge": 64,
    "mesh.data": 1,
}
WALL_CLOCK = ("steps_per_second", "images_per_second", "data_wait_share", "host_memory_gb")


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str], list[str]]:
    """The arguments that train in a workdir."""
    data = tmp_path / "data"
    sizes = ["--num-train=16", "--num-val=4"]
    assert main(["prepare", "shapes", f"--root={data}", *sizes]) == 0
    fields = [f"--config.{name}={value}" for name, value in CHANGES.items()]
    fixed = ["train", "--config=shapes/maskformer_R18", f"--config.data.root={data}", *fields]
    return lambda workdir: [*fixed, f"--workdir={workdir}"]


def losses(workdir: Path) -> list[Any]:
    lines = [line for line in read_metrics(workdir) if "loss" in line]
    return [{k: v for k, v in line.items() if k not in WALL_CLOCK} for line in lines]


def start(arguments: list[str], cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    program = (
        "import sys; from maskformer_jax.remote import workdir; workdir.EVERY_S = 0.3\n"
        "from maskformer_jax.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_run_ends_where_a_whole_one_ends(
    store: str, tmp_path: Path, command: Callable[[str], list[str]], kills: int
) -> None:
    assert main(command(str(tmp_path / "whole"))) == 0
    rng = random.Random(kills)
    steps_at_kill = []
    for _ in range(kills):
        process = start(command(store), tmp_path / "cache")
        before = copied_step(store, tmp_path)
        # Until there is something new in the store, and then a little longer.
        while process.poll() is None and copied_step(store, tmp_path) <= before:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps_at_kill.append(copied_step(store, tmp_path))
        if steps_at_kill[-1] == STEPS:
            break
    process = start(command(store), tmp_path / "cache")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert f"resuming from step {steps_at_kill[-1]}" in output

    copy = tmp_path / "copy"
    Mirror(store, copy).pull()
    assert newest_step(copy) == STEPS
    assert losses(copy) == losses(tmp_path / "whole")
    ours, theirs = (restore_all_variables(path) for path in (copy, tmp_path / "whole"))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert (copy / "report.html").is_file()
    assert not list((tmp_path / "cache/maskformer_jax/workdirs").rglob("*.jsonl"))

    scores = tmp_path / "scores"
    root = f"--config.data.root={tmp_path / 'data'}"
    assert main(["eval", f"--checkpoint={store}/best", root, f"--output={scores}"]) == 0
    found = json.loads((scores / "metrics.json").read_text())
    assert found["step"] == STEPS
    (line,) = [line for line in read_metrics(copy) if "eval/mIoU" in line]
    assert found["mIoU"] == pytest.approx(line["eval/mIoU"])


def copied_step(address: str, tmp_path: Path) -> int:
    """The newest checkpoint that is complete in the store, 0 without one."""
    found = Mirror(address, tmp_path / "unused")._list()
    steps = [int(name.split("/")[1]) for name in found if name.endswith("/digests.json")]
    return max(steps, default=0)
