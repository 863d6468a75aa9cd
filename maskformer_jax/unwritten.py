"""Memory that a program writes to before it reads it."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def unwritten(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An array of any values; only a TPU leaves the memory as it is.

    On a GPU each device would hold the memory of all: XLA does not divide there what it does not
    fill.
    """
    return jax.lax.platform_dependent(
        tpu=lambda: jax.lax.empty(shape, dtype), default=lambda: jnp.zeros(shape, dtype)
    )
