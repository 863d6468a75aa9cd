"""Paths in a config and on the command line: `~`, and how a workdir keeps them."""

from pathlib import Path

import pytest

from maskformer_jax.commands.parser import override_config, user_path
from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.config.paths import relative_to_workdir, resolve_workdir

FIELDS = (
    "data.root",
    "data.dataset",
    "train.init_backbone",
    "train.init_checkpoint",
    "compile_cache",
)


def value(config: Config, field: str) -> str:
    section, _, name = field.rpartition(".")
    found: str = getattr(getattr(config, section) if section else config, name)
    return found


@pytest.mark.parametrize("field", FIELDS)
def test_home_is_expanded_in_every_path(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = override_config(load_config("shapes/maskformer_R18"), [f"{field}=~/a/b.json"])
    assert value(config, field) == str(tmp_path / "a" / "b.json")


def test_home_is_expanded_in_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path("runs/~") == Path("runs/~")


def test_names_and_addresses_are_no_paths(tmp_path: Path) -> None:
    config = load_config("shapes/maskformer_R18")
    config.data.dataset, config.data.root = "~shapes", "gs://bucket/data"
    kept = relative_to_workdir(config, tmp_path)
    assert (kept.data.dataset, kept.data.root) == ("~shapes", "gs://bucket/data")


def test_workdir_and_data_move_together(tmp_path: Path) -> None:
    config = load_config("shapes/maskformer_R18")
    config.data.root, config.train.init_backbone = str(tmp_path / "old/data"), "weights/r50.pkl"
    kept = relative_to_workdir(config, tmp_path / "old/runs/one")
    assert str(tmp_path) not in kept.data.root
    moved = resolve_workdir(kept, tmp_path / "new/runs/one")
    assert moved.data.root == str(tmp_path / "new/data")
    assert moved.train.init_backbone == "weights/r50.pkl"
