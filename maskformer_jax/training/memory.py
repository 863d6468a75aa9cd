"""Telling what helps when a device has too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from maskformer_jax.config import Config
from maskformer_jax.errors import UserError

_SIGNS = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")


@contextmanager
def naming_exhausted_memory(config: Config) -> Iterator[None]:
    """Turn XLA's error for exhausted memory into one that names the settings that need less.

    Raises:
        UserError: a device has too little memory for the run.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not any(sign in str(error) for sign in _SIGNS):
            raise
        first = str(error).strip().splitlines()[0]
        raise UserError(
            "a device has too little memory for this run. What helps, the cheapest first:\n  "
            + "\n  ".join(_advice(config))
            + f"\nThe message of the compiler: {first}"
        ) from error


def _advice(config: Config) -> Iterator[str]:
    if not config.loss.by_layer:
        yield "--config.loss.by_layer=True: the loss of one decoder layer after the other"
    if config.model.compute_dtype == "float32":
        yield "--config.model.compute_dtype=bfloat16: half of the memory for activations"
    if not config.model.remat:
        yield "--config.model.remat=True: activations are computed again in the backward pass"
    size, steps = config.train.batch_size, config.optim.accumulate_steps
    yield (
        f"--config.optim.accumulate_steps={2 * steps} (now {steps}): the same update from smaller "
        "parts of the batch"
    )
    yield f"--config.train.batch_size below {size}, with a learning rate that is lower as much"
    yield f"--config.data.augment.crop_size below {config.data.augment.crop_size}"
    if config.mesh.fsdp == 1 and jax.device_count() > 1:
        yield f"--config.mesh.fsdp={jax.device_count()}: parameters split over the devices"
