"""The exact GELU (arXiv 1606.08415), whose derivative comes from the forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from maskformer_jax.precision import at_least_float32


@jax.custom_jvp
def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x times the probability that a standard normal variable is below x.

    `jax.nn.gelu(approximate=False)` takes the error function from its complement, which a CPU
    computes more slowly, and again for the derivative (docs/benchmarks.md). Its better relative
    precision far below zero, where the result is all but zero, makes no difference to a sum.
    """
    wide = at_least_float32(x)
    return (wide * _distribution(wide)).astype(x.dtype)


@gelu.defjvp
def _gelu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    wide = at_least_float32(x)
    below = _distribution(wide)
    density = jnp.exp(-0.5 * wide * wide) * np.asarray(1 / np.sqrt(2 * np.pi), wide.dtype)
    # The slope is all that the backward pass needs.
    slope = (below + wide * density).astype(x.dtype)
    return (wide * below).astype(x.dtype), tangent * slope


def _distribution(x: Array) -> Array:
    return 0.5 * (1 + jax.lax.erf(x * np.asarray(np.sqrt(0.5), x.dtype)))
