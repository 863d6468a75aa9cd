"""Products with a kernel, with gradients that a CPU or a TPU computes quickly."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike
from jaxtyping import Float


def multiply_kernel(
    x: Float[Array, "*b c"],
    kernel: Float[Array, "c d"],
    dimension_numbers: Any = None,
    *,
    precision: Any = None,
    preferred_element_type: DTypeLike | None = None,
    **_: Any,
) -> Float[Array, "*b d"]:
    """`x @ kernel`, in the form of `lax.dot_general` that `flax.linen.Dense` takes.

    JAX gives the gradient of the kernel as the transpose of a product, which makes XLA's CPU
    backend write a transposed copy of the other factor together with all that is computed on its
    way; behind a GELU that takes longer than both products (docs/benchmarks.md). Here the product
    has the order of the kernel. Elsewhere JAX's own rule is left as it is.

    Args:
        x: whose last axis is summed over.
        kernel: whose first axis is summed over.
        dimension_numbers: must say just that; None says it, too.
        precision: of the product; None: that of `jax.default_matmul_precision`.
        preferred_element_type: of the result; None: that of the arguments.
    """
    expected = (((x.ndim - 1,), (0,)), ((), ()))
    if dimension_numbers is not None and dimension_numbers != expected:
        raise ValueError(f"dimension_numbers are {dimension_numbers}, but must be {expected}")
    if precision is None:
        # Read here, since the gradient is traced outside of a context that sets it.
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _multiply(x, kernel, precision, preferred_element_type)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _multiply(x: Array, kernel: Array, precision: Any, dtype: DTypeLike | None) -> Array:
    numbers = (((x.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(x, kernel, numbers, precision=precision, preferred_element_type=dtype)


def _forward(
    x: Array, kernel: Array, precision: Any, dtype: DTypeLike | None
) -> tuple[Array, tuple[Array, Array]]:
    return _multiply(x, kernel, precision, dtype), (x, kernel)


def _backward(
    precision: Any, dtype: DTypeLike | None, factors: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    x, kernel = factors
    last = x.ndim - 1
    product = partial(lax.dot_general, precision=precision)

    def flat(x: Array, cotangent: Array) -> Array:
        rows, other = (a.reshape(-1, a.shape[-1]) for a in (x, cotangent))
        return product(rows, other, (((0,), (0,)), ((), ())))

    def as_jax_does(x: Array, cotangent: Array) -> Array:
        leading = tuple(range(last))
        return product(cotangent, x, ((leading, leading), ((), ()))).T

    of_kernel = lax.platform_dependent(x, cotangent, cpu=flat, default=as_jax_does)
    of_x = product(cotangent, kernel, (((last,), (1,)), ((), ())))
    return of_x.astype(x.dtype), of_kernel.astype(kernel.dtype)


_multiply.defvjp(_forward, _backward)


def project(
    x: Float[Array, "*b c"], kernel: Float[Array, "c d"], bias: Float[Array, " d"]
) -> Float[Array, "*b d"]:
    """`x @ kernel + bias`, where the bias's gradient is one more row of the kernel's.

    For a TPU, where the result's gradient is put together from several arrays, as those of queries,
    keys and values: to add it up by itself takes longer than the kernel's whole gradient. Where it
    comes from one product, that product adds it up at no cost.

    Args:
        x: whose last axis is summed over.
        kernel: whose first axis is summed over.
        bias: of the result.
    """
    return _project(x, kernel, bias, jax.config.jax_default_matmul_precision)  # type: ignore[attr-defined]


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _project(x: Array, kernel: Array, bias: Array, precision: Any) -> Array:
    return jnp.matmul(x, kernel, precision=precision) + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def _project_forward(
    x: Array, kernel: Array, bias: Array, precision: Any
) -> tuple[Array, tuple[Array, Array]]:
    return _project(x, kernel, bias, precision), (x, kernel)


def _project_backward(
    precision: Any, factors: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array, Array]:
    x, kernel = factors
    leading = tuple(range(x.ndim - 1))
    of_x = jnp.matmul(cotangent, kernel.T, precision=precision)
    # Eight ones, not one, since a tile has eight rows.
    ones = jnp.ones((*x.shape[:-1], 8), x.dtype)
    rows = lax.dot_general(
        jnp.concatenate([x, ones], axis=-1),
        cotangent,
        ((leading, leading), ((), ())),
        precision=precision,
    )
    return of_x, rows[:-8], rows[-1]


_project.defvjp(_project_forward, _project_backward)
