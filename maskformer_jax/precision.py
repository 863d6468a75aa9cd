"""The precision of arithmetic: dtypes of at least float32, and how float32 is multiplied.

Norms, softmax, heads, costs and losses are at least float32, whatever dtype the rest of the model
computes in. TPUs and recent GPUs multiply float32 in fewer bits unless told otherwise.
"""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def at_least_float32_dtype(dtype: DTypeLike) -> Any:
    """float32, or float64 for float64 (which JAX has only with jax_enable_x64)."""
    return jnp.promote_types(dtype, jnp.float32)


def at_least_float32(x: Array) -> Array:
    """Cast bfloat16, float16 and integers to float32; leave float32 and float64 as they are."""
    return x.astype(at_least_float32_dtype(x.dtype))


def resolve_precision(setting: str, *, compute_dtype: str, train: bool) -> str | None:
    """The precision of products for `model.matmul_precision`; None: the platform's own.

    With "auto", inference in float32 has "highest", so that published numbers hold everywhere, and
    all else has the platform's own.
    """
    if setting == "auto":
        return "highest" if compute_dtype == "float32" and not train else None
    return None if setting == "default" else setting


def precision_of_masks(precision: str | None) -> jax.lax.Precision:
    """How mask losses multiply, given the precision of the model that they train.

    The highest where the model has it. Where products of the model keep 8 bits on a TPU, so that
    logits are no more exact than that, enlarging them in 16 bits takes half the time of 24.
    """
    highest = precision in ("highest", "float32")
    return jax.lax.Precision.HIGHEST if highest else jax.lax.Precision.HIGH


def multiply_in(precision: str | None) -> AbstractContextManager[Any]:
    """Trace matrix products and convolutions with this precision; None changes nothing."""
    return (
        contextlib.nullcontext() if precision is None else jax.default_matmul_precision(precision)
    )
