"""The cost of a training step according to the compiler, before anything runs."""

from typing import Any, NamedTuple

import jax
import numpy as np

from maskformer_jax.config import Config, Size
from maskformer_jax.config.data import VARYING_MAPPERS
from maskformer_jax.data.grouping import padded_sizes
from maskformer_jax.distributed import is_primary
from maskformer_jax.training.loop import Training
from maskformer_jax.types import Batch

MIB = 2**20


class StepCost(NamedTuple):
    """Cost of one step on one device; None if the backend does not report it."""

    arguments: int | None  # bytes of the state and the batch
    temporary: int | None  # bytes of temporary buffers, which live only during the step
    program: int | None  # bytes of compiled code
    flops: float | None  # floating-point operations; the body of a loop counts once


def measure_step(compiled: jax.stages.Compiled) -> StepCost:
    """Read XLA's memory and cost analysis of a compiled program."""
    memory: Any = compiled.memory_analysis()
    cost: Any = compiled.cost_analysis() or {}
    return StepCost(
        arguments=getattr(memory, "argument_size_in_bytes", None),
        temporary=getattr(memory, "temp_size_in_bytes", None),
        program=getattr(memory, "generated_code_size_in_bytes", None),
        flops=cost.get("flops"),
    )


def describe_cost(cost: StepCost) -> str:
    """Format the cost as text."""

    def amount(value: int | float | None, unit: int | float, name: str) -> str:
        return "not reported by this backend" if value is None else f"{value / unit:,.1f} {name}"

    return "\n".join(
        [
            "one step on each device, according to the compiler:",
            f"  state and batch   {amount(cost.arguments, MIB, 'MiB')}",
            f"  temporary memory  {amount(cost.temporary, MIB, 'MiB')}",
            f"  program           {amount(cost.program, MIB, 'MiB')}",
            f"  operations        {amount(cost.flops, 1e9, 'GFLOP')} (loop bodies counted once)",
        ]
    )


def report_cost(training: Training) -> None:
    """Compile the step of a run and print its cost; no data is read, nothing is written."""
    step = training.step.lower(training.template, abstract_batch(training.config))
    cost = measure_step(step.compile())
    if is_primary():
        print(describe_cost(cost), flush=True)


def abstract_batch(config: Config, *, size: Size | None = None) -> Batch:
    """Return the shapes of a global batch.

    Args:
        config: the recipe.
        size: of the images; None: the largest of the recipe's.
    """
    images, slots = config.train.batch_size, config.data.num_segments
    sizes: tuple[Size, ...] = (config.data.augment.crop_size,)
    if config.data.mapper in VARYING_MAPPERS:
        sizes = padded_sizes(config.data.augment)
    height, width = size or max(sizes, key=lambda size: size[0] * size[1])
    overlapping = config.data.mapper == "instance"

    def array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype)

    packed = array(np.uint8, images, slots, height, -(-width // 8))
    return Batch(
        image=array(np.uint8, images, height, width, 3),
        image_valid=array(bool, images, height, width),
        segment_map=None if overlapping else array(np.int16, images, height, width),
        labels=array(np.int32, images, slots),
        segment_valid=array(bool, images, slots),
        masks=packed if overlapping else None,
    )
