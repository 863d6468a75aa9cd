"""The precision that norms, softmax, heads, costs and losses have whatever the rest computes in."""

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def wide_dtype(dtype: DTypeLike) -> Any:
    """float32, or float64 where that comes in (which JAX has only with jax_enable_x64)."""
    return jnp.promote_types(dtype, jnp.float32)


def widen(x: Array) -> Array:
    """`x` in `wide_dtype` of its own."""
    return x.astype(wide_dtype(x.dtype))
