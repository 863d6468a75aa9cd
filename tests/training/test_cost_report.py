"""The compiler's figures of a step, from shapes alone."""

import jax
import numpy as np
from toy_training import Toy

from maskformer_jax.config import Config
from maskformer_jax.training.cost_report import (
    StepCost,
    abstract_batch,
    describe_cost,
    measure_step,
)


def test_figures_of_a_step() -> None:
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


def test_batches_of_several_sizes_count_with_the_largest() -> None:
    config = Config()
    config.train.batch_size, config.data.num_segments = 4, 3
    config.data.mapper = "instance"
    config.data.augment.buckets = ((64, 96), (96, 100), (100, 64))
    batch = abstract_batch(config)
    assert batch.image.shape == (4, 96, 100, 3)
    assert batch.segment_map is None
    assert batch.masks.shape == (4, 3, 96, 13)


def test_what_a_backend_does_not_tell_is_said() -> None:
    text = describe_cost(StepCost(arguments=3 * 2**20, temporary=None, program=None, flops=2.5e9))
    assert "state and batch   3.0 MiB" in text
    assert "temporary memory  not told by this backend" in text
    assert "2.5 GFLOP" in text
