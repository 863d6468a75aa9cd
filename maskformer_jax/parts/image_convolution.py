"""Strided convolutions of pixels, whose three channels do not suit a TPU.

A TPU multiplies 128 channels at a time. It convolves three of them slowly, and for a stride it
first copies the image into another layout, which costs more than the convolution
(docs/benchmarks.md). There, the pixels of each block of stride x stride become the channels of one
pixel, and the kernel is cut alike; the sums are over the same products, and zeros.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from maskformer_jax.resize import pad_bottom_right, padded_size

Padding = Sequence[tuple[int, int]]  # (before, after) along each axis


def convolve_image(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c d"],
    strides: tuple[int, int],
    padding: Padding | str,
    **settings: Any,
) -> Float[Array, "b _ _ d"]:
    """Convolve images of few channels, in the form of `lax.conv_general_dilated`.

    Args:
        images: of any size.
        kernel: square, at least as large as the stride, without dilation.
        strides: the same along both axes.
        padding: with zeros.
        settings: other arguments of `lax.conv_general_dilated`, as `flax.linen.Conv` has them.
    """
    height, width = images.shape[1:3]
    pads = (
        lax.padtype_to_pads((height, width), kernel.shape[:2], strides, padding)
        if isinstance(padding, str)
        else padding
    )
    return lax.platform_dependent(
        images,
        kernel,
        tpu=lambda x, k: convolve_blocks(
            x, k, strides[0], pads, precision=settings.get("precision")
        ),
        default=lambda x, k: lax.conv_general_dilated(x, k, strides, pads, **settings),
    )


def convolve_blocks(
    images: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c d"],
    stride: int,
    padding: Padding,
    *,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "b _ _ d"]:
    """The same convolution, of blocks of pixels and without a stride."""
    sizes, side = images.shape[1:3], len(kernel)
    whole = padded_size((sizes[0], sizes[1]), stride)
    blocks = gather_blocks(pad_bottom_right(images, whole, axes=(1, 2)), stride)
    # Zeros before the kernel make it begin with a block, those after it make it end with one.
    before = [-low % stride for low, _ in padding]
    widths = [(zeros, -(zeros + side) % stride) for zeros in before]
    kernel = jnp.pad(kernel, (*widths, (0, 0), (0, 0)))
    rows, columns = (length // stride for length in kernel.shape[:2])
    cut = kernel.reshape(rows, stride, columns, stride, *kernel.shape[2:])
    cut = cut.transpose(0, 2, 1, 3, 4, 5).reshape(rows, columns, -1, kernel.shape[-1])
    pads = []
    for axis, (low, high) in enumerate(padding):
        first = (low + before[axis]) // stride
        results = (sizes[axis] + low + high - side) // stride + 1
        pads.append((first, results + cut.shape[axis] - 1 - first - blocks.shape[1 + axis]))
    return lax.conv_general_dilated(
        blocks, cut, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=precision
    )


def gather_blocks(images: Float[Array, "b h w c"], side: int) -> Float[Array, "b _ _ _"]:
    """The pixels of each block as channels: rows first, then columns, then channels.

    Every side-th pixel is gathered by a product with zeros and ones, which is exact; a TPU copies
    pixels with a stride slowly.
    """
    batch, height, width, channels = images.shape
    rows, columns = (jnp.asarray(_every(side, n), images.dtype) for n in (height, width))
    # Channels first, as a TPU lays out images of three channels.
    x = jnp.moveaxis(images, 3, 1)
    exact = lax.Precision.HIGHEST
    x = jnp.einsum("spw,bchw->bschp", columns, x, precision=exact)
    x = jnp.einsum("roh,bschp->brscop", rows, x, precision=exact)
    x = x.reshape(batch, side * side * channels, height // side, width // side)
    return jnp.moveaxis(x, 1, 3)


def _every(step: int, length: int) -> np.ndarray:
    """Zeros and ones [step, length / step, length]: matrix i gathers pixels i, i + step, ..."""
    index = np.arange(length).reshape(-1, step).T
    return np.eye(length)[index]
