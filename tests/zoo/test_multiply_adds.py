"""Counting multiply-adds, on functions with a known count."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax import lax

from maskformer_jax.zoo.multiply_adds import count_multiply_adds


def zeros(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_matrix_products():
    assert count_multiply_adds(jnp.matmul, zeros(3, 4), zeros(4, 5)) == 3 * 4 * 5
    batched = lambda x, y: jnp.einsum("bqc,bhc->bqh", x, y)  # noqa: E731
    assert count_multiply_adds(batched, zeros(2, 3, 4), zeros(2, 7, 4)) == 2 * 3 * 7 * 4
    assert count_multiply_adds(lambda x: x * x + x, zeros(3, 4)) == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 8 * 6 * 9 * 4 * 10),
        ({"strides": (2, 2)}, 4 * 3 * 9 * 4 * 10),
        ({"feature_group_count": 2}, 8 * 6 * 9 * 2 * 10),
        ({"kernel_dilation": (2, 2)}, 8 * 6 * 9 * 4 * 10),
        ({"padding": "VALID"}, 6 * 4 * 9 * 4 * 10),
    ],
)
def test_convolutions(settings, expected):
    conv = nn.Conv(10, (3, 3), use_bias=False, **settings)
    run = lambda x: conv.init_with_output(jax.random.key(0), x)[0]  # noqa: E731
    assert count_multiply_adds(run, zeros(1, 8, 6, 4)) == expected


def test_control_flow():
    square = zeros(4, 4)

    def repeat(x):
        return lax.scan(
            lambda carry, _: (jax.checkpoint(jax.jit(jnp.matmul))(carry, x), None), x, length=5
        )[0]

    def choose(x):
        return lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)

    def copy(x):
        return lax.platform_dependent(x, tpu=lambda x: x @ x, default=lambda x: x)

    assert count_multiply_adds(repeat, square) == 5 * 64
    assert count_multiply_adds(copy, square) == 0
    assert count_multiply_adds(choose, square) == 2 * 64
    assert count_multiply_adds(lambda x: lax.while_loop(jnp.any, lambda x: x - 1, x), square) == 0
    with pytest.raises(ValueError, match="number of its turns"):
        count_multiply_adds(lambda x: lax.while_loop(jnp.any, lambda x: x @ x, x), square)
