"""Costs and losses of one decoder layer after the other: the same loss and the same gradients."""

import jax
import numpy as np
import pytest
from toy_training import Toy

from maskformer_jax.config import Config, LossConfig, OptimConfig

POINTS = {"num_cost_points": 50, "ignore_void": True}


@pytest.mark.parametrize("settings", [{}, pytest.param(POINTS, marks=pytest.mark.slow)], ids=str)
def test_by_layer_changes_nothing(settings: dict) -> None:
    results = []
    for by_layer in (False, True):
        # No clipping, so that Adam's first moment is a tenth of the gradient.
        optim = OptimConfig(clip_norm=1e6)
        toy = Toy(Config(optim=optim, loss=LossConfig(by_layer=by_layer, **settings)))
        state, metrics = toy.step(toy.fresh(), toy.batch)
        moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
        results.append(jax.device_get((metrics, moments, state.params)))
    (ours, moments, params), (expected, wanted_moments, wanted_params) = results[::-1]
    assert {"loss_mask", "loss_mask_0", "loss_dice_0", "loss_class_0"} < set(expected)
    assert set(ours) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-6, err_msg=name)
    assert max(np.abs(x).max() for x in wanted_moments) > 1e-3
    for left, right in zip(moments, wanted_moments, strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=1e-6 * np.abs(right).max())
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), params, wanted_params
    )
