"""Products and GELU with derivatives of our own, against JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.parts.gelu import gelu
from maskformer_jax.parts.products import multiply_kernel, project

RNG = np.random.default_rng(0)


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


@pytest.mark.parametrize("leading", [(), (5,), (2, 3, 4)])
def test_a_product_and_its_gradients(leading: tuple[int, ...]) -> None:
    x, kernel, cotangent = draw(*leading, 6), draw(6, 7), draw(*leading, 7)
    value, pull_back = jax.vjp(multiply_kernel, x, kernel)
    expected, reference = jax.vjp(jnp.matmul, x, kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for ours, wanted in zip(pull_back(cotangent), reference(cotangent), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


def test_a_projection_and_its_gradients() -> None:
    x, kernel, bias, cotangent = draw(2, 3, 6), draw(6, 7), draw(7), draw(2, 3, 7)
    value, pull_back = jax.vjp(project, x, kernel, bias)
    expected, reference = jax.vjp(lambda x, k, b: x @ k + b[None, None], x, kernel, bias)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    for ours, wanted in zip(pull_back(cotangent), reference(cotangent), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


def test_a_product_in_float32_of_bfloat16_factors() -> None:
    x, kernel = draw(3, 6).astype(jnp.bfloat16), draw(6, 7).astype(jnp.bfloat16)

    def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return multiply_kernel(x, kernel, preferred_element_type=jnp.float32)

    value, pull_back = jax.vjp(product, x, kernel)
    assert value.dtype == jnp.float32
    assert [g.dtype for g in pull_back(value)] == [jnp.bfloat16] * 2


def test_the_precision_of_the_context_reaches_the_gradient() -> None:
    x, kernel = draw(3, 6), draw(6, 7)
    with jax.default_matmul_precision("highest"):
        _, pull_back = jax.vjp(multiply_kernel, x, kernel)
    text = jax.jit(pull_back).lower(draw(3, 7)).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert len(products) >= 2
    assert all("HIGHEST" in line for line in products)


def test_a_contraction_of_other_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="dimension_numbers"):
        multiply_kernel(draw(6, 6), draw(6, 7), (((0,), (0,)), ((), ())))


def test_gelu_is_the_exact_one_and_so_is_its_slope() -> None:
    x = jnp.linspace(-12, 12, 1001)
    with jax.enable_x64(True):
        wide = jnp.asarray(np.asarray(x), jnp.float64)
        expected, slope = jax.jvp(
            lambda x: jax.nn.gelu(x, approximate=False), (wide,), (jnp.ones_like(wide),)
        )
    value, ours = jax.jvp(gelu, (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(value, expected, atol=1e-6)
    np.testing.assert_allclose(ours, slope, atol=1e-6)


def test_gelu_of_bfloat16_is_computed_in_float32() -> None:
    x = jnp.linspace(-4, 4, 101).astype(jnp.bfloat16)
    np.testing.assert_array_equal(gelu(x), gelu(x.astype(jnp.float32)).astype(jnp.bfloat16))
