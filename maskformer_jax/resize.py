"""Resizing and padding exactly as the published system does them.

Bilinear means align_corners=False without antialiasing, also when downsampling; nearest is
PyTorch's legacy rule without a half-pixel offset. Source indices and weights depend only on the
sizes, so they are computed once, in NumPy, at trace time.
"""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Shaped

from maskformer_jax.types import Size

_MXU_COLUMNS = 128  # that a TPU's matrix unit sums over at once


def padded_size(size: Size, multiple: int) -> Size:
    """Round a size up to a multiple in both directions; multiple 0 leaves it as it is."""
    if not multiple:
        return size
    height, width = size
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_bottom_right(
    x: Shaped[Array | np.ndarray, "..."],
    size: Size,
    *,
    axes: tuple[int, int],
    value: int | float = 0,
) -> Shaped[Array, "..."]:
    """Pad two axes of an array to `size` at their ends; neither may be longer than that."""
    widths = [(0, 0)] * x.ndim
    for axis, target in zip(axes, size, strict=True):
        widths[axis] = (0, target - x.shape[axis])
    if all(width == (0, 0) for width in widths):
        return jnp.asarray(x)
    return jnp.pad(x, widths, constant_values=value)


def resize_bilinear(
    x: Float[Array | np.ndarray, "*n h w"],
    size: Size,
    *,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
) -> Float[Array, "*n H W"]:
    """Resize the last two axes with bilinear weights.

    Output pixel i samples at s = max((i + 0.5) * in/out - 0.5, 0), between the pixels floor(s) and
    floor(s) + 1, the latter clamped to the edge. Weights and sums have the dtype of `x`.

    Args:
        x: maps.
        size: of the result.
        precision: of the products; below the highest a TPU keeps 16 bits of each value of `x`.
    """
    height, width = size
    x = jnp.asarray(x)
    if x.shape[-2] != height:
        x = _resize_axis(x, height, axis=-2, precision=precision)
    if x.shape[-1] != width:
        x = _resize_columns(x, width, precision=precision)
    return x


def nearest_indices(in_size: int, out_size: int) -> Int[np.ndarray, " out_size"]:
    """Source index of every output pixel: floor(i * in/out), in float32 as PyTorch computes it."""
    scale = np.float32(in_size / out_size)
    index = np.floor(np.arange(out_size, dtype=np.float32) * scale).astype(np.int32)
    return np.minimum(index, in_size - 1)


def resize_nearest(
    x: Shaped[Array | np.ndarray, "..."], size: Size, *, axes: tuple[int, int] = (-2, -1)
) -> Shaped[Array, "..."]:
    """Resize two axes by taking the pixels at `nearest_indices`."""
    x = jnp.asarray(x)
    # The last axis first, while there are few pixels.
    for axis, out_size in reversed(list(zip(axes, size, strict=True))):
        indices = nearest_indices(x.shape[axis], out_size)
        times = out_size // x.shape[axis]
        if np.array_equal(indices, np.arange(out_size) // max(times, 1)):
            x = repeat_pixels(x, times, axis=axis) if times > 1 else x
        else:
            x = jnp.take(x, indices, axis=axis)
    return x


def repeat_pixels(x: Shaped[Array, "..."], times: int, *, axis: int) -> Shaped[Array, "..."]:
    """Repeat each pixel along an axis; the gradient is a sum over neighbours, not a scatter.

    A TPU lays out a map such that most copies with a stride are slow, and so are sums over
    neighbours; a product with zeros and ones, which is exact, is not (docs/benchmarks.md).
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.repeat(x, times, axis=axis)

    return jax.lax.platform_dependent(
        x,
        tpu=lambda x: repeat_by_product(x, times, axis=axis),
        default=lambda x: jnp.repeat(x, times, axis=axis),
    )


def repeat_by_product(x: Float[Array, "..."], times: int, *, axis: int) -> Float[Array, "..."]:
    """`jnp.repeat` along an axis of floating-point numbers, as a product with zeros and ones."""
    axis %= x.ndim
    spread = jnp.asarray(np.repeat(np.eye(x.shape[axis]), times, axis=0), x.dtype)
    highest = jax.lax.Precision.HIGHEST
    result = jax.lax.dot_general(x, spread, (((axis,), (1,)), ((), ())), precision=highest)
    return jnp.moveaxis(result, -1, axis)


def resize_nearest_within(
    x: Shaped[Array, "b h w c"],
    size: Size,
    *,
    from_extent: Int[Array, "b 2"],
    to_extent: Int[Array, "b 2"],
) -> Shaped[Array, "b _ _ c"]:
    """Resize maps that have extents of their own, each as `resize_nearest` would alone.

    The two extents of a map are those of one image at two strides, rounded up; for these, whole
    numbers give the pixels that float32 does.

    Args:
        x: maps in a batch of a static size.
        size: of the batch after resizing.
        from_extent: of each map.
        to_extent: of each map after resizing.
    """
    for axis, length in zip((1, 2), size, strict=True):
        index = jnp.arange(length, dtype=jnp.int32)[None]
        source, target = from_extent[:, axis - 1 : axis], to_extent[:, axis - 1 : axis]
        taken = index * source // jnp.maximum(target, 1)
        taken = jnp.clip(taken, 0, x.shape[axis] - 1)
        taken = taken[:, :, None, None] if axis == 1 else taken[:, None, :, None]
        x = jnp.take_along_axis(x, taken, axis=axis, mode="clip")
    return x


class Taps(NamedTuple):
    """The two pixels that each pixel of a result is mixed from, along one axis."""

    first: Any  # int32 [n]
    second: Any  # int32 [n]
    weight: Any  # [n], of the second; that of the first is one minus it


def bilinear_taps_at(position: Any, length: int) -> tuple[Any, Any, Any]:
    """The pixels that bilinear interpolation along one axis reads at some positions.

    Args:
        position: in pixels from the edge, so that pixel i has its centre at i + 0.5; a NumPy
            array, or a JAX array inside or outside of jit.
        length: of the axis in pixels.

    Returns:
        The first and the second pixel, int32, clamped to the edge, and the weight of the second;
        that of the first is one minus it.
    """
    xp = position.__array_namespace__()
    source = xp.maximum(position - 0.5, 0)
    low = xp.minimum(xp.floor(source).astype(xp.int32), length - 1)
    return low, xp.minimum(low + 1, length - 1), source - low


@cache
def bilinear_taps(in_size: int, out_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source pixels and weights of bilinear resizing along one axis.

    Returns:
        For each output pixel its first and second source pixel, int32 [out_size], and the weight
        of the second, float64 [out_size]; that of the first is one minus it.
    """
    return bilinear_taps_at((np.arange(out_size) + 0.5) * (in_size / out_size), in_size)


def bilinear_taps_of_data(
    index: Int[Array, " n"], in_size: Int[Array, ""], out_size: Int[Array, ""]
) -> Taps:
    """`bilinear_taps` of some output pixels where the sizes are data.

    Computed in whole numbers: float32 positions of large images would be off by 1e-4 pixels. The
    product of the sizes must be below 2^30.

    Args:
        index: output pixels; past the end of the axis they read its last pixel.
        in_size: of the axis before resizing.
        out_size: of the axis after it.

    Returns:
        Weights in float32, correctly rounded.
    """
    index = jnp.minimum(index, out_size - 1)
    # The position (index + 0.5) * in / out - 0.5 in units of half an output pixel.
    position = jnp.maximum((2 * index + 1) * in_size - out_size, 0)
    low = position // (2 * out_size)
    fraction = position - low * (2 * out_size)
    weight = fraction.astype(jnp.float32) / (2 * out_size).astype(jnp.float32)
    low = jnp.minimum(low, in_size - 1)
    return Taps(low, jnp.minimum(low + 1, in_size - 1), weight)


def _resize_columns(x: Array, width: int, *, precision: jax.lax.Precision) -> Array:
    """Resize the last axis; on a TPU block by block, where few of a row's pixels matter to each."""
    dense = partial(_resize_axis, out_size=width, axis=-1, precision=precision)
    if not _MXU_COLUMNS < x.shape[-1] < width:
        return dense(x)
    blocks = partial(resize_columns_by_blocks, width=width, precision=precision)
    return jax.lax.platform_dependent(x, tpu=blocks, default=dense)


def resize_columns_by_blocks(
    x: Float[Array, "... w"], *, width: int, precision: jax.lax.Precision, block: int = 256
) -> Float[Array, "... W"]:
    """Resize the last axis with bilinear weights, `block` columns of the result by a product each.

    A product with all columns is mostly one with zeros. It costs a TPU nothing as long as the
    columns are no more than it sums over at once.
    """
    weights = _bilinear_matrix(x.shape[-1], width)
    results = []
    for begin in range(0, width, block):
        matrix = weights[begin : begin + block]
        used = np.flatnonzero(matrix.any(axis=0))
        columns = slice(used[0], used[-1] + 1)
        part = jnp.asarray(matrix[:, columns], x.dtype)
        results.append(jnp.einsum("oi,...i->...o", part, x[..., columns], precision=precision))
    return jnp.concatenate(results, axis=-1)


def _resize_axis(x: Array, out_size: int, *, axis: int, precision: jax.lax.Precision) -> Array:
    weights = jnp.asarray(_bilinear_matrix(x.shape[axis], out_size), x.dtype)
    equation = "oi,...ix->...ox" if axis == -2 else "oi,...xi->...xo"
    return jnp.einsum(equation, weights, x, precision=precision)


@cache
def _bilinear_matrix(in_size: int, out_size: int) -> np.ndarray:
    low, high, fraction = bilinear_taps(in_size, out_size)
    matrix = np.zeros((out_size, in_size))
    rows = np.arange(out_size)
    np.add.at(matrix, (rows, low), 1 - fraction)
    np.add.at(matrix, (rows, high), fraction)
    return matrix
