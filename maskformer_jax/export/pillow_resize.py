"""Pillow's bilinear resize of 8-bit images inside of a program, for sizes that are data.

The reference is Pillow's resampling of 8-bit channels: columns first, then rows, with weights
rounded to 22 bits and results rounded to 8 bits after each. It computes the weights in double
precision. Here they are fractions of whole numbers, rounded by long division, which gives the same
22 bits: the fractions are never closer to a tie than double precision can tell.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int, UInt8

_BITS = 22  # of a weight's fraction


def resize_image(
    image: UInt8[Array, "h w 3"],
    size: Int[Array, "2"],
    new_size: Int[Array, "2"],
    *,
    bounds: tuple[int, int],
    reduction: float,
) -> UInt8[Array, "new_h new_w 3"]:
    """Resize the upper left corner of an array.

    Args:
        image: holds the image in its upper left corner.
        size: (height, width) of the image.
        new_size: of the result, at most `bounds`.
        bounds: of the array that is returned; it is zero outside of the result.
        reduction: at least each side of the image over that of the result.
    """
    taps = 2 * math.ceil(max(reduction, 1.0)) + 1
    columns = _resize_axis(image, size[1], new_size[1], bound=bounds[1], taps=taps, axis=1)
    rows = _resize_axis(columns, size[0], new_size[0], bound=bounds[0], taps=taps, axis=0)
    is_result = (jnp.arange(bounds[0]) < new_size[0])[:, None] & (
        jnp.arange(bounds[1]) < new_size[1]
    )[None]
    return jnp.where(is_result[..., None], rows, jnp.zeros((), jnp.uint8))


def _resize_axis(
    image: UInt8[Array, "h w 3"], size: Array, new_size: Array, *, bound: int, taps: int, axis: int
) -> UInt8[Array, "_ _ 3"]:
    start, weights = filter_weights(size, new_size, bound=bound, taps=taps)
    last = image.shape[axis] - 1
    shape = [1, 1, 1]
    shape[axis] = bound

    def add(tap: Array, total: Array) -> Array:
        # What lies beyond the image has weight zero.
        pixels = jnp.take(image, jnp.clip(start + tap, 0, last), axis=axis)
        return total + pixels.astype(jnp.int32) * weights[tap].reshape(shape)

    result_shape = list(image.shape)
    result_shape[axis] = bound
    half = jnp.full(result_shape, 1 << (_BITS - 1), jnp.int32)
    total = jax.lax.fori_loop(0, taps, add, half)
    return jnp.clip(total >> _BITS, 0, 255).astype(jnp.uint8)


def filter_weights(
    size: Array, new_size: Array, *, bound: int, taps: int
) -> tuple[Int[Array, " bound"], Int[Array, "taps bound"]]:
    """The first pixel that each pixel of the result reads, and the weights in units of 2^-22.

    Args:
        size: of the axis, a scalar int32.
        new_size: of the axis, likewise.
        bound: of the results.
        taps: pixels that are read; at least twice the reduction, and 1.
    """
    position = jnp.arange(bound, dtype=jnp.int32)
    # All in units of 1 / (2 new_size) of a pixel.
    center = (2 * position + 1) * size
    support = 2 * jnp.maximum(size, new_size)
    start = jnp.maximum((center - support + new_size) // (2 * new_size), 0)
    tap = jnp.arange(taps, dtype=jnp.int32)[:, None]
    pixel = start[None] + tap
    distance = jnp.abs((2 * pixel + 1) * new_size - center[None])
    height = jnp.where(pixel < size, jnp.maximum(support - distance, 0), 0)
    total = jnp.maximum(height.sum(0), 1)
    return start, _divide(height, total[None])


def _divide(numerator: Array, denominator: Array) -> Array:
    """Round(2^22 numerator / denominator), bit by bit, since 32 bits do not hold the product."""
    quotient = numerator // denominator
    rest = numerator - quotient * denominator

    def next_bit(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        quotient, rest = state
        bit = (2 * rest >= denominator).astype(jnp.int32)
        return 2 * quotient + bit, 2 * rest - bit * denominator

    quotient, rest = jax.lax.fori_loop(0, _BITS, next_bit, (quotient, rest))
    return quotient + (2 * rest >= denominator).astype(jnp.int32)
