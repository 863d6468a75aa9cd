"""Times 1x1 convolutions as convolutions and as matrix products.

    python -m benchmarks.pointwise_convolution

The shapes are those of ResNet-50 at 180 x 240 pixels, two images. Prints milliseconds, medians.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from tabulate import tabulate

# (height, width, input channels, output channels)
SHAPES = [(45, 60, 64, 256), (23, 30, 512, 128), (12, 15, 256, 1024), (6, 8, 2048, 512)]
IMAGES = 2
RUNS = 15


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """With XLA's convolution."""
    return lax.conv_general_dilated(
        x, kernel[None, None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """With a matrix product."""
    return jnp.einsum("bhwc,cd->bhwd", x, kernel)


def median_ms(function: Callable, *arguments: jax.Array) -> float:
    """Of several runs after one that compiles."""
    function = jax.jit(function)
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - begin)
    return 1000 * float(np.median(seconds))


def main() -> None:
    """Prints the table."""
    rows = []
    for height, width, channels, features in SHAPES:
        x = jax.random.normal(jax.random.key(0), (IMAGES, height, width, channels))
        kernel = jax.random.normal(jax.random.key(1), (channels, features))
        for name, layer in (("convolution", convolve), ("product", multiply)):
            y = layer(x, kernel)
            rows.append(
                (
                    f"{height}x{width} {channels}->{features}",
                    name,
                    median_ms(layer, x, kernel),
                    median_ms(
                        lambda x, k, g, f=layer: jax.vjp(lambda x: f(x, k), x)[1](g), x, kernel, y
                    ),
                    median_ms(
                        lambda x, k, g, f=layer: jax.vjp(lambda k: f(x, k), k)[1](g), x, kernel, y
                    ),
                )
            )
    print(
        tabulate(
            rows,
            headers=["shape", "as", "forward", "input gradient", "kernel gradient"],
            floatfmt=".2f",
        )
    )


if __name__ == "__main__":
    main()
