"""Every data set, drawn in the layout in which it comes, trains a step and is scored.

The step and all around it is the real one, the model in it a toy.
"""

from pathlib import Path

import numpy as np
import pytest
from data.layouts import LAYOUTS

from maskformer_jax.__main__ import main
from maskformer_jax.config import AugmentConfig, Config, DataConfig, EvalConfig
from maskformer_jax.config.check import check_config
from maskformer_jax.config.data import VARYING_MAPPERS
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.training.loop import train

TASKS = {"semantic": "semantic", "instance": "instance"}  # of a mapper; the others are panoptic
# One of each task, always run; compiling takes the time. "coco_panoptic", the fourth mapper, is
# trained with in test_compilation.py.
QUICK = ("ade20k-150", "cityscapes panoptic", "coco-instances")
METRICS = {"semantic": "mIoU", "panoptic": "PQ", "instance": "AP"}


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[] if x in QUICK else pytest.mark.slow) for x in LAYOUTS]
)
def test_trains_a_step_and_is_scored(name: str, toy_config: Config, tmp_path: Path) -> None:
    root, layout = tmp_path / "data", LAYOUTS[name]
    layout.write(root)
    if layout.prepare:
        assert main(["prepare", layout.prepare, f"--root={root}"]) == 0
    augment = AugmentConfig(short_edges=(32,), max_size=64, crop_size=(32, 32))
    if layout.data.get("mapper") in VARYING_MAPPERS:
        augment.buckets = ((64, 64),)
    config = toy_config
    config.data = DataConfig(root=str(root), augment=augment, num_segments=6, **layout.data)
    config.data.eval_split += "[:1]"  # every size of images compiles
    config.train.num_steps = 1
    task = TASKS.get(config.data.mapper, "panoptic")
    config.eval = EvalConfig(task=task, short_edge=32)
    check_config(config)
    train(config, tmp_path / "run")
    *_, losses, scores = read_metrics(tmp_path / "run")
    assert np.isfinite(losses["loss"])
    assert f"eval/{METRICS[task]}" in scores
