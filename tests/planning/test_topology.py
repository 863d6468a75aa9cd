"""Topologies by name; with libtpu a real step of a small model is compiled for a TPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.errors import UserError
from maskformer_jax.planning.topology import describe_topology

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs the extra `plan-tpu`"
)
needs_cuda = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None, reason="needs the extra `plan-gpu`"
)


@pytest.mark.parametrize(
    "name", ["v5e", "v5e:4", "v5e:4x", "h100:2x2", "v9:2x2", "", "v5e:2x2x2x2"]
)
def test_a_name_that_is_no_topology_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="must be a chip"):
        describe_topology(name)


def test_without_a_compiler_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no libtpu\nand more")

    monkeypatch.setattr("jax.experimental.topologies.get_topology_desc", refuse)
    with pytest.raises(UserError, match=r"maskformer-jax\[plan-tpu\].*it says: no libtpu$"):
        describe_topology("v5e:2x2")
    with pytest.raises(UserError, match=r"maskformer-jax\[plan-gpu\]"):
        describe_topology("h100:8")


def test_a_single_chip_has_a_host_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def describe(name: str, platform: str, **options: object) -> SimpleNamespace:
        asked[name] = options
        return SimpleNamespace(devices=[platform])

    monkeypatch.setattr("jax.experimental.topologies.get_topology_desc", describe)
    assert describe_topology("v5e:1x1").devices == ["tpu"]
    describe_topology("v5e:2x4")
    describe_topology("v5p:2x2x1")
    assert asked["v5e:1x1"] == {"chips_per_host_bounds": [1, 1, 1]}
    assert asked["v5e:2x4"] == {}
    assert asked["v5p:2x2x1"] == {"chip_config_name": "megachip_tccontrol"}


def test_a_host_callback_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--config=shapes/maskformer_R18",
        "--topology=v5e:2x2",
        "--config.loss.matcher=scipy",
    ]
    assert main(["plan", *arguments]) == 1
    assert "config.loss.matcher is 'scipy'" in capsys.readouterr().err


@needs_libtpu
def test_a_real_step_is_compiled_for_a_tpu(tmp_path: Path) -> None:
    # In a process of its own: libtpu is loaded for good. As small as a model with all parts gets.
    record = plan(tmp_path, "--topology=v5e:2x2", "--size=32x32")
    assert record["devices"] == 4
    assert record["cycles"]["backbone"] > 10_000
    assert record["seconds"]["compiler's schedule"] > record["seconds"]["arithmetic"] > 0
    # The gradients of all parameters, at least.
    assert record["collectives"]["all-reduce"]["received"] > 1e6


@needs_cuda
def test_a_real_step_is_compiled_for_a_gpu(tmp_path: Path) -> None:
    # A size for which XLA's own kernels for products would end the process.
    record = plan(tmp_path, "--topology=h100:2", "--size=96x96")
    assert record["devices"] == 2
    assert record["cycles"] == {}
    assert record["seconds"]["memory traffic"] > 0
    assert record["seconds"]["arithmetic"] > 0
    assert record["collectives"]["all-reduce"]["received"] > 1e6


def plan(folder: Path, *arguments: str) -> dict[str, Any]:
    """The record of `plan` for the smallest model with all parts, in a process of its own."""
    command = [
        *(sys.executable, "-m", "maskformer_jax", "plan", "--config=shapes/maskformer_R18"),
        *("--segments=3", f"--json={folder / 'plan.json'}", "--config.train.batch_size=4"),
        *("--config.model.transformer_decoder.num_layers=1", *arguments),
    ]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fits" in done.stdout
    assert "all-reduce" in done.stdout
    record = json.loads((folder / "plan.json").read_text())
    assert record["fits"]
    return dict(record)
