"""Strided convolutions of pixels as convolutions of blocks, as TPUs compute them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from maskformer_jax.parts.image_convolution import convolve_blocks, convolve_image, gather_blocks

NUMBERS = ("NHWC", "HWIO", "NHWC")


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape))


@pytest.mark.parametrize("size", [(32, 48), (17, 30), (8, 7), (5, 5)])
@pytest.mark.parametrize(
    ("side", "stride", "padding"),
    [(7, 2, 3), (3, 2, 1), (4, 4, 0), (5, 2, 2), (7, 4, 3), (3, 3, 0)],
    ids=["ResNet's stem", "DeepLab's stem", "Swin's patches", "5", "stride 4", "stride 3"],
)
def test_blocks_have_the_sums_and_gradients_of_the_convolution(
    size: tuple[int, int], side: int, stride: int, padding: int
) -> None:
    pads = [(padding, padding)] * 2

    def plain(x: jax.Array, k: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, k, (stride, stride), pads, dimension_numbers=NUMBERS)

    def blocks(x: jax.Array, k: jax.Array) -> jax.Array:
        return convolve_blocks(x, k, stride, pads)

    with jax.enable_x64(True):
        images, kernel = draw(2, *size, 3), draw(side, side, 3, 4)
        expected, pull_expected = jax.vjp(plain, images, kernel)
        ours, pull = jax.vjp(blocks, images, kernel)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
        cotangent = draw(*expected.shape)
        for gradient, judge in zip(pull(cotangent), pull_expected(cotangent), strict=True):
            np.testing.assert_allclose(gradient, judge, rtol=0, atol=1e-11)


def test_pixels_of_a_block_become_channels() -> None:
    images = draw(1, 4, 6, 3)
    blocks = gather_blocks(images, 2)
    assert blocks.shape == (1, 2, 3, 12)
    np.testing.assert_array_equal(blocks[0, 1, 2].reshape(2, 2, 3), images[0, 2:4, 4:6])


def test_bfloat16_is_gathered_exactly() -> None:
    images = draw(1, 8, 8, 3).astype(jnp.bfloat16)
    assert gather_blocks(images, 4).dtype == jnp.bfloat16
    expected = images.reshape(1, 2, 4, 2, 4, 3).transpose(0, 1, 3, 2, 4, 5).reshape(1, 2, 2, 48)
    np.testing.assert_array_equal(gather_blocks(images, 4), expected)


def test_a_tpu_gets_blocks_and_others_the_convolution() -> None:
    shapes = (
        jax.ShapeDtypeStruct((1, 32, 32, 3), "float32"),
        jax.ShapeDtypeStruct((7, 7, 3, 8), "float32"),
    )

    def convolve(x: jax.Array, k: jax.Array) -> jax.Array:
        return convolve_image(x, k, (2, 2), ((3, 3), (3, 3)), dimension_numbers=NUMBERS)

    traced = jax.jit(convolve).trace(*shapes)
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("16x16x12" in text) == (platform == "tpu")
        assert ("stride = [2, 2]" in text) == (platform != "tpu")


def test_padding_may_be_named() -> None:
    images, kernel = draw(1, 9, 9, 3), draw(4, 4, 3, 2)
    ours = convolve_image(images, kernel, (4, 4), "VALID", dimension_numbers=NUMBERS)
    expected = lax.conv_general_dilated(images, kernel, (4, 4), "VALID", dimension_numbers=NUMBERS)
    np.testing.assert_array_equal(ours, expected)
