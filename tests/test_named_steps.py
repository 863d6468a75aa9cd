"""`best` and `last` in place of a step."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_pretrained import config, saved

from maskformer_jax.checkpoints.export import write_workdir
from maskformer_jax.checkpoints.workdir import newest_step
from maskformer_jax.errors import UserError
from maskformer_jax.pretrained import Loaded, load_pretrained

__all__ = ["config", "saved"]  # fixtures


@pytest.fixture
def workdir(saved: Loaded, tmp_path: Path) -> Path:
    """Steps 10, 20, 30 and 40 with PQ 1, 5, 3 and none."""
    write_workdir(saved.variables, saved.config, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    for step, score in ((10, 1.0), (20, 5.0), (30, 3.0), (40, None)):
        shutil.copytree(folder / "0", folder / str(step))
        if score is not None:
            (folder / str(step) / "metrics").mkdir()
            scores = json.dumps({"PQ": score, "SQ": 100 - score})  # the main one first
            (folder / str(step) / "metrics" / "metrics").write_text(scores)
    shutil.rmtree(folder / "0")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("path", "step"),
    [("best", 20), ("checkpoints/best", 20), ("last", 40), ("checkpoints/last", 40), (".", 40)],
)
def test_names_mean_steps(workdir: Path, path: str, step: int) -> None:
    assert newest_step(workdir / path) == step


def test_best_is_loaded(workdir: Path, saved: Loaded) -> None:
    loaded = load_pretrained(workdir / "best")
    assert loaded.config == saved.config
    for ours, theirs in zip(loaded.palette, saved.palette, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_scores_none_is_the_best(workdir: Path) -> None:
    for step in ("10", "20", "30"):
        shutil.rmtree(workdir / "checkpoints" / step)
    with pytest.raises(UserError, match="no checkpoint has scores"):
        load_pretrained(workdir / "best")
    assert newest_step(workdir / "last") == 40


def test_empty_workdir_has_no_best(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such checkpoint"):
        load_pretrained(tmp_path / "best")
