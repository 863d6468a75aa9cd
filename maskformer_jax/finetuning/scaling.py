"""Crop, batch and schedule for a data set and a machine.

The rules, in one place:

    size      the shorter side of images, up to 512 (256 on CPUs), in multiples of 32
    batch     as many images as fit into the memory, up to 16 (up to 4 on CPUs)
    steps     40 epochs, 200 to 20,000 steps (to 1,000 on CPUs)
    rate      that of the recipe, lower by the square root where the batch is smaller
    warm-up   as in the recipe, a tenth of the steps at most; milestones at the recipe's shares
"""

import math
from typing import NamedTuple

from maskformer_jax.config import Config
from maskformer_jax.finetuning.facts import Facts

_LARGEST, _LARGEST_ON_CPU = 512, 256
_STRIDE = 32
_EPOCHS = 40
_FEWEST_STEPS, _MOST_STEPS, _MOST_ON_CPU = 200, 20_000, 1_000
_LARGEST_BATCH, _LARGEST_BATCH_ON_CPU = 16, 4
_EVALUATIONS = 4
# From a compiler's figure for a ResNet-50 in float32 on an H100, 11.6 GB of temporary memory for 16
# crops of 512 x 512. That other backbones need four times as much is an allowance, not measured.
_BYTES_PER_PIXEL = 2_800
_WIDE = 4
_MEMORY_SHARE = 0.8


class Scale(NamedTuple):
    """The numbers of a recipe that depend on the data and the machine."""

    size: int  # shorter side of images and crops
    long_size: int  # longer side of crops
    batch_size: int
    num_steps: int
    every: int  # steps between evaluations
    learning_rate: float
    warmup_steps: int
    milestones: tuple[int, ...]


def choose_scale(base: Config, facts: Facts, *, num_steps: int | None = None) -> Scale:
    """Apply the rules above.

    Args:
        base: the recipe to scale.
        facts: of the data and the machine.
        num_steps: instead of the rule for steps.
    """
    size = _round_down(min(facts.short_side, _LARGEST_ON_CPU if facts.on_cpu else _LARGEST))
    long_size = _round_down(round(size * min(max(facts.aspect, 1.0), 1.5)))
    batch = _choose_batch(base, facts, size * long_size)
    steps = num_steps or _choose_steps(facts, batch)
    share = steps / base.train.num_steps
    rate = base.optim.learning_rate * min(1.0, math.sqrt(batch / base.train.batch_size))
    return Scale(
        size=size,
        long_size=long_size,
        batch_size=batch,
        num_steps=steps,
        every=max(steps // _EVALUATIONS, 1),
        learning_rate=float(f"{rate:.2g}"),
        warmup_steps=min(base.optim.warmup_steps, steps // 10),
        milestones=tuple(max(round(step * share), 1) for step in base.optim.milestones),
    )


def _choose_batch(base: Config, facts: Facts, pixels: int) -> int:
    wide = 1 if base.model.backbone.type == "resnet" else _WIDE
    fitting = int(_MEMORY_SHARE * facts.memory / (_BYTES_PER_PIXEL * wide * pixels))
    most = _LARGEST_BATCH_ON_CPU if facts.on_cpu else _LARGEST_BATCH
    batch = min(max(fitting * facts.devices, facts.devices), max(most, facts.devices))
    return max(batch // facts.devices, 1) * facts.devices


def _choose_steps(facts: Facts, batch: int) -> int:
    most = _MOST_ON_CPU if facts.on_cpu else _MOST_STEPS
    steps = _EPOCHS * facts.train_images / batch
    return int(min(max(steps, _FEWEST_STEPS), most))


def _round_down(side: int) -> int:
    return max(side // _STRIDE, 2) * _STRIDE
