"""Resizing against the published system's numbers (tests/golden/components.npz)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.resize import (
    bilinear_taps,
    bilinear_taps_at,
    nearest_indices,
    pad_bottom_right,
    padded_size,
    repeat_by_product,
    resize_bilinear,
    resize_columns_by_blocks,
    resize_nearest,
)

COMPONENTS = np.load(Path(__file__).parent / "golden" / "components.npz")
BILINEAR = sorted(
    key.removesuffix("/in")
    for key in COMPONENTS.files
    if key.startswith("resize/bilinear") and key.endswith("/in")
)


@pytest.mark.parametrize("case", BILINEAR)
def test_bilinear_published(case: str) -> None:
    before, after = COMPONENTS[f"{case}/in"], COMPONENTS[f"{case}/out"]
    with jax.enable_x64(True):
        ours = resize_bilinear(jnp.asarray(before), after.shape)
    np.testing.assert_allclose(ours, after, rtol=0, atol=1e-12)
    ours = resize_bilinear(jnp.asarray(before, jnp.float32), after.shape)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, after, rtol=0, atol=1e-6 * np.abs(before).max())


def test_bilinear_after_a_crop_published() -> None:
    before, after = COMPONENTS["resize/postprocess/in"], COMPONENTS["resize/postprocess/out"]
    with jax.enable_x64(True):
        ours = resize_bilinear(jnp.asarray(before)[:, :21, :30], (40, 37))
    np.testing.assert_allclose(ours, after, rtol=0, atol=1e-12)


def test_bilinear_weights_of_two_pixels() -> None:
    ours = resize_bilinear(jnp.array([[0.0, 1.0]]), (1, 8))
    np.testing.assert_array_equal(ours[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])


def test_bilinear_keeps_leading_axes_apart() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 4))
    together = resize_bilinear(x, (11, 6))
    np.testing.assert_allclose(together[1, 2], resize_bilinear(x[1, 2], (11, 6)), atol=1e-6)


def test_nearest_indices_published() -> None:
    for i, (in_size, out_size) in enumerate(COMPONENTS["resize/nearest_pairs"].tolist()):
        expected = COMPONENTS[f"resize/nearest_torch_f32/{i}"]
        np.testing.assert_array_equal(nearest_indices(in_size, out_size), expected)


def test_nearest_takes_the_top_left_of_each_cell() -> None:
    x = np.arange(8 * 12).reshape(8, 12)
    np.testing.assert_array_equal(resize_nearest(x, (2, 3)), x[::4, ::4])
    channels_last = resize_nearest(x[None, :, :, None], (16, 24), axes=(1, 2))
    np.testing.assert_array_equal(channels_last[0, :, :, 0], x.repeat(2, 0).repeat(2, 1))


def test_padding() -> None:
    assert padded_size((64, 97), 32) == (64, 128)
    assert padded_size((33, 32), 32) == (64, 32)
    assert padded_size((75, 101), 0) == (75, 101)
    x = np.ones((2, 3, 4, 1))
    padded = pad_bottom_right(x, (4, 6), axes=(1, 2), value=-1)
    expected = np.full((2, 4, 6, 1), -1.0)
    expected[:, :3, :4] = 1
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(pad_bottom_right(x, (3, 4), axes=(1, 2)), x)
    one_more = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)))
    np.testing.assert_array_equal(pad_bottom_right(x, (3, 5), axes=(1, 2)), one_more)


def test_bilinear_taps() -> None:
    low, high, weight = bilinear_taps(2, 4)
    np.testing.assert_array_equal(low, [0, 0, 0, 1])
    np.testing.assert_array_equal(high, [1, 1, 1, 1])
    np.testing.assert_array_equal(weight, [0, 0.25, 0.75, 0.25])
    position = np.array([0.0, 0.5, 1.25, 2.5, 3.0])  # in pixels from the edge, of three
    for taps in (
        bilinear_taps_at(position, 3),
        jax.jit(bilinear_taps_at, static_argnums=1)(jnp.asarray(position), 3),
    ):
        np.testing.assert_array_equal(taps[0], [0, 0, 0, 2, 2])
        np.testing.assert_array_equal(taps[1], [1, 1, 1, 2, 2])
        np.testing.assert_array_equal(taps[2], [0, 0, 0.75, 0, 0.5])
        assert all(x.dtype == np.int32 for x in taps[:2])


@pytest.mark.parametrize("sizes", [(2, 5), (5, 2), (3, 6), (4, 4), (4, 8), (6, 9)])
def test_nearest_takes_the_indexed_pixels(sizes: tuple[int, int]) -> None:
    x = np.arange(2 * sizes[0]).reshape(2, -1)
    ours = resize_nearest(x, (2, sizes[1]))
    np.testing.assert_array_equal(ours, x[:, nearest_indices(*sizes)])


def test_the_gradient_of_repeated_pixels_is_a_sum() -> None:
    def total(x: jax.Array) -> jax.Array:
        return (resize_nearest(x, (4, 6)) * weights).sum()

    weights = jnp.arange(24.0).reshape(4, 6)
    gradient = np.asarray(weights).reshape(2, 2, 2, 3).sum((1, 3))
    np.testing.assert_array_equal(jax.grad(total)(jnp.ones((2, 2))), gradient)
    assert "scatter" not in str(jax.make_jaxpr(jax.grad(total))(jnp.ones((2, 2))))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_pixels_repeated_by_a_product_are_those_of_a_copy(axis: int) -> None:
    # What a TPU does; the values are exact, since each is a sum of itself and zeros.
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), jnp.float32)
    product, pull_back = jax.vjp(lambda x: repeat_by_product(x, 3, axis=axis), x)
    copy, expected = jax.vjp(lambda x: jnp.repeat(x, 3, axis=axis), x)
    np.testing.assert_array_equal(product, copy)
    np.testing.assert_allclose(pull_back(copy)[0], expected(copy)[0], rtol=1e-6)


@pytest.mark.parametrize(("size", "block"), [((130, 517), 128), ((130, 512), 256), ((40, 9), 4)])
def test_columns_by_blocks_are_those_of_one_product(size: tuple[int, int], block: int) -> None:
    length, width = size
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, length)), jnp.float32)
    cotangent = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, width)), jnp.float32)
    highest = jax.lax.Precision.HIGHEST

    def by_blocks(x: jax.Array) -> jax.Array:
        return resize_columns_by_blocks(x, width=width, precision=highest, block=block)

    found, pull = jax.vjp(by_blocks, x)
    wanted, pull_wanted = jax.vjp(lambda x: resize_bilinear(x, (3, width)), x)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pull(cotangent)[0], pull_wanted(cotangent)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("width", "products"), [(128, 1), (129, 3)])
def test_a_tpu_resizes_long_rows_by_blocks(width: int, products: int) -> None:
    """Here 516 columns are two blocks of 256 and one of 4."""
    traced = jax.jit(lambda x: resize_bilinear(x, (2, 4 * width))).trace(jnp.zeros((2, width)))
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        expected = products if platform == "tpu" else 1
        assert text.count("stablehlo.dot_general") == expected
