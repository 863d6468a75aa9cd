"""The scripts of benchmarks/ import what exists."""

import importlib
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_imports(script: Path) -> None:
    assert callable(importlib.import_module(f"benchmarks.{script.stem}").main)


def test_each_stage_of_the_accelerator_script_leaves_a_file_of_its_own() -> None:
    stages = importlib.import_module("benchmarks.accelerator").list_stages(tiny=False)
    assert len({stage.name for stage in stages}) == len(stages)
    assert all("{out}" in " ".join(stage.command) for stage in stages)
