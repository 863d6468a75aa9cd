"""Which of several maps is largest at each pixel."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


def index_of_largest(maps: Float[Array, "c *hw"]) -> Int[Array, "*hw"]:
    """`jnp.argmax` over the first axis, int32: the first of equal ones, or the first nan."""
    return jax.lax.platform_dependent(
        maps,
        cpu=largest_one_by_one,
        default=lambda maps: jnp.argmax(maps, axis=0).astype(jnp.int32),
    )


def largest_one_by_one(maps: Float[Array, "c *hw"]) -> Int[Array, "*hw"]:
    """`index_of_largest` for a CPU, whose argmax compares pixel by pixel.

    One map after the other, pixels are compared several at a time, twelve times as fast
    (docs/benchmarks.md).
    """

    def compare(i: Int[Array, ""], best: tuple[Array, Array]) -> tuple[Array, Array]:
        value, index = best
        one = maps[i]
        larger = (one > value) | (jnp.isnan(one) & ~jnp.isnan(value))
        return jnp.where(larger, one, value), jnp.where(larger, i, index)

    first = maps[0], jnp.zeros(maps.shape[1:], jnp.int32)
    return jax.lax.fori_loop(jnp.int32(1), jnp.int32(len(maps)), compare, first)[1]
