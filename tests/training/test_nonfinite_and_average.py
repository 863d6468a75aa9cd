"""Updates left out for a non-finite gradient, and the moving average of the parameters."""

from pathlib import Path

import jax
import numpy as np
import pytest
from toy_training import Toy

from maskformer_jax.checkpoints.workdir import restore_model_variables
from maskformer_jax.config import Config, OptimConfig
from maskformer_jax.errors import UserError
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.finite import require_finite
from maskformer_jax.training.state import TrainState, model_variables


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy(Config(optim=OptimConfig(ema_decay=0.75, skip_nonfinite=1, learning_rate=1e-2)))


def image_ids(step: int) -> list[str]:
    return [f"image {step}-{row}" for row in range(16)]


def to_host(state: TrainState) -> TrainState:
    return jax.tree.map(np.array, state)


def spoil(state: TrainState) -> TrainState:
    """The state with one parameter that is not a number; the average is left alone."""
    decoder = state.params["transformer_decoder"]
    spoiled = {**decoder, "query_embed": decoder["query_embed"].at[0, 0, 0].set(np.nan)}
    params = {**state.params, "transformer_decoder": spoiled}
    return state._replace(params=params)


def assert_equal(ours: object, expected: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_average_follows_the_parameters(toy: Toy) -> None:
    start = to_host(toy.fresh())
    assert_equal(start.ema_params, start.params)
    state, metrics = toy.step(toy.fresh(), toy.batch)
    assert metrics["update_skipped"] == metrics["skipped_updates"] == 0
    jax.tree.map(
        lambda mean, old, new: np.testing.assert_allclose(
            mean, 0.75 * old + 0.25 * new, rtol=1e-5, atol=1e-7
        ),
        state.ema_params,
        start.params,
        state.params,
    )
    apart = jax.tree.map(lambda x, y: np.abs(x - y).max(), state.params, state.ema_params)
    assert min(jax.tree.leaves(apart)) > 1e-4


def test_a_skipped_update_changes_nothing(toy: Toy) -> None:
    state, first = toy.step(toy.fresh(), toy.batch)
    before = to_host(spoil(state))
    state, metrics = toy.step(spoil(state), toy.batch)
    assert not np.isfinite(metrics["loss"])
    assert metrics["update_skipped"] == metrics["skipped_updates"] == 1
    assert int(state.step) == 2
    for name in ("params", "ema_params", "constants"):
        assert_equal(getattr(state, name), getattr(before, name))
    assert_equal(state.opt_state.inner_state, before.opt_state.inner_state)
    require_finite(2, metrics, image_ids=image_ids)  # allowed

    # One in a row is allowed; at the second the run stops.
    state, metrics = toy.step(state, toy.batch)
    assert metrics["update_skipped"] == 0
    assert metrics["learning_rate"] < first["learning_rate"]
    with pytest.raises(UserError, match=r"step 3: loss is nan.* 'image 3-0'"):
        require_finite(3, metrics, image_ids=image_ids)


def test_after_a_skipped_update_the_next_learning_rate_is_logged() -> None:
    config = Config(optim=OptimConfig(skip_nonfinite=1, learning_rate=1e-2, poly_power=1.0))
    config.train.num_steps = 10
    toy = Toy(config)
    state, first = toy.step(toy.fresh(), toy.batch)
    good = to_host(state)
    state, skipped = toy.step(spoil(state), toy.batch)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, toy.template.params)
    state = state._replace(params=jax.device_put(good.params, shardings))
    state, after = toy.step(state, toy.batch)
    rates = [metrics["learning_rate"] for metrics in (first, skipped, after)]
    np.testing.assert_allclose(rates, [1e-2, 0.9e-2, 0.9e-2], rtol=1e-6)
    assert (skipped["update_skipped"], after["update_skipped"]) == (1, 0)


def test_the_average_is_saved_as_the_model(toy: Toy, tmp_path: Path) -> None:
    state, _ = toy.step(toy.fresh(), toy.batch)
    without = toy.template._replace(ema_params=None)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        checkpoints.save(state, Config(), None)
        checkpoints.wait()
        restored = checkpoints.restore(toy.template)
        assert restored is not None
        assert_equal(restored, state)
        plain = checkpoints.restore(without)  # the option was turned off
        assert plain is not None
        assert plain.ema_params is None
        assert_equal(plain.params, state.params)
        checkpoints.save(plain._replace(step=plain.step + 1), Config(), None)
        checkpoints.wait()
        again = checkpoints.restore(toy.template)  # turned on again: it starts anew
        assert again is not None
        assert_equal(again.ema_params, state.params)
    saved = restore_model_variables(tmp_path / "checkpoints" / "1", model_variables(toy.template))
    assert_equal(saved["params"], state.ema_params)
