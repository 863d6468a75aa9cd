"""Attention with dropout, against Flax's."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.parts.dot_product_attention import attend_to_values


def draw(*shape: int, dtype: Any) -> jax.Array:
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape), dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_it_is_that_of_flax_bit_for_bit(rate: float, dtype: Any) -> None:
    arrays = [draw(2, tokens, 4, 8, dtype=dtype) for tokens in (5, 7, 7)]
    settings = {
        "mask": jnp.asarray([[True] * 7, [True] * 4 + [False] * 3])[:, None, None],
        "dropout_rng": jax.random.key(3),
        "dropout_rate": rate,
        "deterministic": False,
        "dtype": dtype,
        "force_fp32_for_softmax": True,
    }

    def run(attend: Any) -> list[jax.Array]:
        out, pull = jax.vjp(partial(attend, **settings), *arrays)
        return [out, *pull(out)]

    theirs = run(partial(nn.dot_product_attention, broadcast_dropout=False))
    for expected, found in zip(theirs, run(attend_to_values), strict=True):
        assert expected.dtype == found.dtype
        np.testing.assert_array_equal(found, expected)


def test_nothing_is_drawn_where_nothing_is_dropped() -> None:
    q, k, v = (draw(2, 5, 4, 8, dtype=jnp.float32) for _ in range(3))
    wanted = nn.dot_product_attention(q, k, v)
    np.testing.assert_array_equal(
        attend_to_values(q, k, v, dropout_rate=0.3, deterministic=True), wanted
    )


def test_a_tpu_keeps_the_mask() -> None:
    q, k, v = (draw(2, 5, 4, 8, dtype=jnp.float32) for _ in range(3))

    def run(q: Any, k: Any, v: Any, seed: Any) -> Any:
        return attend_to_values(q, k, v, dropout_rng=jax.random.key(seed), dropout_rate=0.3)

    traced = jax.jit(run).trace(q, k, v, 0)
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("optimization_barrier" in text) == (platform == "tpu")
