"""If the newest checkpoint is damaged, the previous one is restored."""

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_state import placed, toy_state

from maskformer_jax.checkpoints.digests import find_damage
from maskformer_jax.config import Config
from maskformer_jax.errors import UserError
from maskformer_jax.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with the checkpoints 1 and 2."""
    workdir = tmp_path_factory.mktemp("saved")
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(placed(toy_state(step), 1), Config(), {"mIoU": float(step)})
    return workdir


def restored_step(workdir: Path) -> int:
    state = placed(toy_state(0), 1)
    template = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), state
    )
    with Checkpoints(workdir, keep=2) as checkpoints:
        found = checkpoints.restore(template)
        assert found is not None
        step = int(found.step)
        np.testing.assert_array_equal(found.params["large"], toy_state(step).params["large"])
        # The name of a damaged checkpoint can be used again.
        checkpoints.save(placed(toy_state(2), 1), Config(), {"mIoU": 2.0})
    return step


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: list[Callable[[Path], None]] = [truncate, flip_a_bit, Path.unlink]


def test_every_damaged_file_is_named(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "2"
    for path in sorted((saved / "checkpoints" / "2").rglob("*")):
        relative = path.relative_to(saved / "checkpoints" / "2")
        # Orbax changes these two after the commit; nothing is read from them.
        notes = str(relative) in ("_CHECKPOINT_METADATA", "commit_success.txt")
        if path.is_dir() or notes or not path.stat().st_size:
            continue
        for damage in DAMAGES:
            shutil.copytree(saved / "checkpoints" / "2", folder)
            assert find_damage(folder) == []
            damage(folder / relative)
            problems = find_damage(folder)
            assert len(problems) == 1, (relative, damage)
            assert str(folder / relative) in problems[0]
            shutil.rmtree(folder)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda function: function.__name__)
@pytest.mark.parametrize("item", ["model", "metrics"])
def test_the_previous_checkpoint_is_used(
    saved: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    item: str,
    damage: Callable[[Path], None],
) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    assert restored_step(workdir) == 2
    files = [path for path in (workdir / "checkpoints/2" / item).rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    damage(largest)
    assert restored_step(workdir) == 1
    assert str(largest) in caplog.text
    assert "checkpoints/1: restored" in capsys.readouterr().err
    assert restored_step(workdir) == 2


def test_without_a_whole_checkpoint_all_damage_is_listed(saved: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    for step in ("1", "2"):
        (workdir / "checkpoints" / step / "opt" / "_METADATA").unlink()
    with pytest.raises(UserError, match=r"(?s)2/opt/_METADATA is missing.*1/opt/_METADATA is miss"):
        restored_step(workdir)


def save_third(workdir: Path) -> None:
    with Checkpoints(workdir, keep=1) as checkpoints:
        checkpoints.save(placed(toy_state(3), 1), Config(), None)


def test_a_full_disk_is_reported_and_costs_no_checkpoint(saved: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    shutil.copytree(saved, workdir)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file that may not grow takes the same path through the code as a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"checkpoints/3 could not be .*checkpoints: 2, 1"):
            save_third(workdir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert restored_step(workdir) == 2


def test_meta_says_that_there_are_digests(saved: Path) -> None:
    meta = json.loads((saved / "checkpoints/2/meta/metadata").read_text())
    assert meta["digests"] is True
    assert meta["step"] == 2
