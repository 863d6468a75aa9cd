"""At least float32: the dtype of norms, softmax, heads, costs and losses.

They keep it whatever dtype the rest of the model computes in.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def at_least_float32_dtype(dtype: DTypeLike) -> Any:
    """float32, or float64 for float64 (which JAX has only with jax_enable_x64)."""
    return jnp.promote_types(dtype, jnp.float32)


def at_least_float32(x: Array) -> Array:
    """Cast bfloat16, float16 and integers to float32; leave float32 and float64 as they are."""
    return x.astype(at_least_float32_dtype(x.dtype))
