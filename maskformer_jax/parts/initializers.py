"""Initial distributions of the published model (detectron2, fvcore and PyTorch rules).

U(a) is the uniform distribution on [-a, a]; fans include the kernel area.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, variance_scaling

msra_fill: Initializer = variance_scaling(2.0, "fan_out", "normal")
"""Normal with standard deviation sqrt(2 / fan_out): convolutions of the backbone."""

xavier_fill: Initializer = variance_scaling(1.0, "fan_in", "uniform")
"""U(sqrt(3 / fan_in)): convolutions of the pixel decoder and input projections."""

glorot_uniform: Initializer = variance_scaling(1.0, "fan_avg", "uniform")
"""U(sqrt(6 / (fan_in + fan_out))): matrices inside the transformers."""

linear_kernel: Initializer = variance_scaling(1.0 / 3.0, "fan_in", "uniform")
"""U(1 / sqrt(fan_in)): the prediction heads, PyTorch's default for linear layers."""


def packed_glorot_uniform(parts: int = 3) -> Initializer:
    """Make the Glorot rule of one matrix that was drawn together with its siblings.

    PyTorch holds the query, key and value projections in one matrix and draws that as a whole,
    so each part gets U(sqrt(6 / (fan_in + parts * fan_out))), less than on its own.
    """

    def draw(
        key: jax.Array, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None
    ) -> jax.Array:
        fan_in, fan_out = math.prod(shape[:-1]), shape[-1]
        bound = math.sqrt(6.0 / (fan_in + parts * fan_out))
        return jax.random.uniform(key, shape, dtype or jnp.float32, -bound, bound)

    return draw


def linear_bias(fan_in: int) -> Initializer:
    """Make U(1 / sqrt(fan_in)), PyTorch's default for the bias of a linear layer."""
    bound = 1.0 / math.sqrt(fan_in)

    def draw(
        key: jax.Array, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None
    ) -> jax.Array:
        return jax.random.uniform(key, shape, dtype or jnp.float32, -bound, bound)

    return draw


def fix_draw(initializer: Initializer, *, fixed_key: jax.Array) -> Initializer:
    """Make an initializer that ignores its key, so that every use gives the same values."""

    def draw(
        key: jax.Array, shape: Sequence[int], dtype: Any = None, out_sharding: Any = None
    ) -> jax.Array:
        return initializer(fixed_key, shape, dtype)

    return draw
