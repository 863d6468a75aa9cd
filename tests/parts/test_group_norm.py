"""Group norm: against Flax's, far from zero, on flat maps, and in images that have extents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.parts.group_norm import GroupNorm

RNG = np.random.default_rng(0)
SHAPE = (2, 7, 5, 64)


def draw_params() -> dict:
    scale, bias = RNG.normal(size=(2, SHAPE[-1])).astype(np.float32)
    return {"params": {"scale": scale, "bias": bias}}


def reference(params: dict, x: jax.Array, cotangent: np.ndarray) -> tuple:
    """Value and gradients of Flax's two-pass norm in float64."""
    with jax.enable_x64(True):
        norm = nn.GroupNorm(num_groups=32, epsilon=1e-5, use_fast_variance=False)
        wide = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), (params, x))
        value, pull_back = jax.vjp(norm.apply, *wide)
        return jax.device_get((value, pull_back(jnp.asarray(cotangent, jnp.float64))))


# Channels whose means differ by a thousand times their deviations lose three of seven digits in
# any float32 norm: x itself does not hold more.
@pytest.mark.parametrize(("spread", "tolerance"), [(0.0, 3e-6), (10.0, 2e-5), (1000.0, 2e-3)])
def test_values_and_gradients_are_those_of_two_passes(spread: float, tolerance: float) -> None:
    means = np.repeat(RNG.normal(size=(32)) * spread, 2)
    x = jnp.asarray(RNG.normal(size=SHAPE) + means, jnp.float32)
    params, cotangent = draw_params(), RNG.normal(size=SHAPE).astype(np.float32)
    value, pull_back = jax.vjp(GroupNorm().apply, params, x)
    expected, gradients = reference(params, x, cotangent)
    np.testing.assert_allclose(value, expected, atol=tolerance)
    for ours, wanted in zip(
        jax.tree.leaves(pull_back(jnp.asarray(cotangent))), jax.tree.leaves(gradients), strict=True
    ):
        np.testing.assert_allclose(ours, wanted, atol=tolerance * np.abs(wanted).max())


def test_a_flat_map_becomes_its_bias() -> None:
    params = draw_params()
    y = GroupNorm().apply(params, jnp.full(SHAPE, 12345.678))
    np.testing.assert_allclose(y, np.broadcast_to(params["params"]["bias"], SHAPE), atol=1e-6)


def test_epsilon_is_the_published_one() -> None:
    # For values of +-1e-3 the variance 1e-6 is small beside 1e-5: 1 / sqrt(11) shows epsilon.
    x = jnp.tile(jnp.asarray([1e-3, -1e-3]).reshape(1, 2, 1, 1), (1, 1, 1, 32))
    y, _ = GroupNorm().init_with_output(jax.random.key(0), x)
    expected = 1 / np.sqrt(11)
    np.testing.assert_allclose(y[0, :, 0, 5], [expected, -expected], rtol=1e-5)


def test_statistics_are_those_inside_of_the_extent() -> None:
    x = jnp.asarray(RNG.normal(size=SHAPE) + 3, jnp.float32)
    extent = jnp.array([[4, 5], [7, 2]])
    filled = jnp.where((jnp.arange(5) < 2)[None, None, :, None], x, 1e6)
    x = x.at[1].set(filled[1]).at[0, 4:].set(-1e6)
    params = draw_params()
    y = GroupNorm().apply(params, x, extent)
    for i, (height, width) in enumerate(extent.tolist()):
        alone = GroupNorm().apply(params, x[i : i + 1, :height, :width])
        np.testing.assert_allclose(y[i, :height, :width], alone[0], atol=3e-6)


def test_statistics_of_bfloat16_maps_are_float32() -> None:
    x = jnp.asarray(RNG.normal(size=SHAPE), jnp.bfloat16)
    params = draw_params()
    y = GroupNorm(jnp.bfloat16).apply(params, x)
    assert y.dtype == jnp.bfloat16
    wide = GroupNorm().apply(params, x.astype(jnp.float32))
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
