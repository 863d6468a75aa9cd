"""The cost of a step according to the compiler, from shapes alone."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from toy_training import Toy, ToyModel

from maskformer_jax.commands import train
from maskformer_jax.config import Config
from maskformer_jax.config.io import to_json
from maskformer_jax.parts.layers import rematerialize
from maskformer_jax.training import loop, optimizer
from maskformer_jax.training.cost_report import (
    StepCost,
    abstract_batch,
    describe_cost,
    measure_step,
)


def test_cost_of_a_step() -> None:
    config = Config()
    toy = Toy(config)
    config.data.augment.crop_size = toy.batch.image.shape[1:3]
    config.data.num_segments = toy.batch.labels.shape[1]
    batch = abstract_batch(config)
    expected = jax.tree.map(lambda x: (x.shape, x.dtype), toy.batch)
    assert jax.tree.map(lambda x: (x.shape, np.dtype(x.dtype)), batch) == expected
    cost = measure_step(toy.step.lower(toy.template, batch).compile())
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((toy.template, batch)))
    assert cost.arguments is not None
    assert abs(cost.arguments - size) < 0.2 * size
    logits = 2 * 4 * 6 * 8 * 8 * 4
    assert cost.temporary is not None
    assert cost.temporary > logits
    assert cost.flops is not None
    assert cost.flops > 2 * logits / 4 * 8


def test_of_several_batch_sizes_the_largest_is_measured() -> None:
    config = Config()
    config.train.batch_size, config.data.num_segments = 4, 3
    config.data.mapper = "instance"
    config.data.augment.buckets = ((64, 96), (96, 100), (100, 64))
    batch = abstract_batch(config)
    assert batch.image.shape == (4, 96, 100, 3)
    assert batch.segment_map is None
    assert batch.masks.shape == (4, 3, 96, 13)


def test_what_a_backend_does_not_report_is_stated() -> None:
    text = describe_cost(StepCost(arguments=3 * 2**20, temporary=None, program=None, flops=2.5e9))
    assert "state and batch   3.0 MiB" in text
    assert "temporary memory  not reported by this backend" in text
    assert "2.5 GFLOP" in text


class DeepToy(nn.Module):
    """Three blocks of four convolutions each, followed by the toy model."""

    remat: bool

    @nn.compact
    def __call__(self, images: Any, image_valid: Any = None, *, train: bool = False) -> Any:
        x = jnp.asarray(images, jnp.float32) / 255
        for part in range(3):
            run = rematerialize(partial(_run_part, name=f"part{part}"), on=self.remat)
            x = run(self, x)
        return ToyModel(name="toy")(x, image_valid, train=train)


def _run_part(module: DeepToy, x: Any, *, name: str) -> Any:
    del module  # the parent that the layers are attached to
    for i in range(4):
        x = jnp.tanh(nn.Conv(16, (3, 3), name=f"{name}_{i}")(x))
    return x


def test_rematerialisation_saves_memory_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler must not merge the recomputation with the first computation."""
    monkeypatch.setattr(optimizer, "HEAD_ROWS", ((r".*", "weight"),))
    temporary = []
    for remat in (False, True):
        config = Config()
        config.model.remat = remat
        toy = Toy(config, model=DeepToy(remat))
        temporary.append(measure_step(toy.step.lower(toy.template, toy.batch).compile()).temporary)
    plain, saved = temporary
    one = 4 * 32 * 32 * 16 * 4
    assert plain - saved > 4 * one  # of the 12 values between convolutions


def test_the_report_comes_before_the_run(
    tiny_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class BeganError(Exception):
        pass

    def begin(*_: object, **__: object) -> None:
        raise BeganError

    tiny_config.model.head = "per_pixel"  # compiles quickly
    config, workdir = tmp_path / "config.json", tmp_path / "run"
    config.write_text(to_json(tiny_config))
    monkeypatch.setattr(loop, "Checkpoints", begin)
    with pytest.raises(BeganError):
        train.run([f"--config={config}", f"--workdir={workdir}", "--report-cost"])
    printed = capsys.readouterr().out
    assert "one step on each device" in printed
    assert "temporary memory  not reported" not in printed
    assert not workdir.exists()
