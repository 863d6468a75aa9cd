"""Losses: published numbers, an independent implementation, and identities."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from maskformer_jax.losses import (
    dice_from_sums,
    dice_loss,
    pixel_cross_entropy,
    sides_by_exponentials,
    sides_by_sign,
    sigmoid_focal_loss,
    sigmoid_terms,
    weighted_cross_entropy,
)

COMPONENTS = np.load(Path(__file__).parent / "golden" / "components.npz")
LOGITS = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32) * 4
MASKS = np.random.default_rng(1).random((3, 4, 5)) < 0.3

PRECISIONS = pytest.mark.parametrize(
    ("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-12)], ids=["float32", "float64"]
)


@PRECISIONS
def test_focal_and_dice_published(dtype: str, bound: float) -> None:
    x, t = (COMPONENTS[f"loss/functions/{name}"] for name in "xt")
    with jax.enable_x64(dtype == "float64"):
        logits, masks = jnp.asarray(x, dtype)[:, None], jnp.asarray(t > 0)[:, None]
        focal = sigmoid_focal_loss(logits, masks).mean((-2, -1))
        dice = dice_loss(logits, masks)
        focal, dice = jax.device_get((focal, dice))
    for ours, name in ((focal, "focal"), (dice, "dice")):
        expected = COMPONENTS[f"loss/functions/{name}"]
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, expected[:3], rtol=bound)
        np.testing.assert_allclose(ours.sum() / 2.5, expected[3], rtol=bound)


@PRECISIONS
def test_focal_and_dice_of_pairs_published(dtype: str, bound: float) -> None:
    x, t = (COMPONENTS[f"loss/functions/{name}"] for name in "xt")
    with jax.enable_x64(dtype == "float64"):
        logits, masks = jnp.asarray(x, dtype)[:, None, None], jnp.asarray(t > 0)[None, :, None]
        focal = sigmoid_focal_loss(logits, masks).mean((-2, -1))
        dice = dice_loss(logits, masks)
        focal, dice = jax.device_get((focal, dice))
    np.testing.assert_allclose(focal, COMPONENTS["loss/functions/focal_pairs"], rtol=bound)
    np.testing.assert_allclose(dice, COMPONENTS["loss/functions/dice_pairs"], rtol=bound)


def test_worked_numbers() -> None:
    logits = jnp.array([[2.0, -1.0, 0.5, -3.0]])
    masks = jnp.array([[True, False, True, False]])
    focal = [4.50890709e-04, 1.69935431e-02, 1.68933726e-02, 8.19624934e-05]
    np.testing.assert_allclose(sigmoid_focal_loss(logits, masks)[0], focal, rtol=1e-6)
    np.testing.assert_allclose(dice_loss(logits, masks), 0.16870838, rtol=1e-6)


def test_cross_entropy_worked_numbers() -> None:
    logits = jnp.array([[1.0, 2.0, 0.5], [0.2, 0.1, 1.5]])
    weights = jnp.array([1.0, 1.0, 0.1])
    loss = weighted_cross_entropy(logits, jnp.array([1, 2]), class_weights=weights)
    np.testing.assert_allclose(loss, [0.46436878, 0.041813698], rtol=1e-6)
    np.testing.assert_allclose(loss.sum() / 1.1, 0.46016589, rtol=1e-6)


def test_optax_agrees() -> None:
    labels = MASKS.astype(np.float32)
    np.testing.assert_allclose(
        sigmoid_focal_loss(jnp.asarray(LOGITS), jnp.asarray(MASKS)),
        optax.losses.sigmoid_focal_loss(LOGITS, labels, alpha=0.25, gamma=2.0),
        rtol=2e-5,
        atol=1e-9,
    )
    np.testing.assert_allclose(
        dice_loss(jnp.asarray(LOGITS), jnp.asarray(MASKS)),
        optax.losses.dice_loss(LOGITS[..., None], labels[..., None], smooth=0.5),
        rtol=1e-5,
    )


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    ours = sigmoid_focal_loss(jnp.asarray(LOGITS), jnp.asarray(MASKS), alpha=0.5, gamma=0)
    expected = optax.losses.sigmoid_binary_cross_entropy(LOGITS, MASKS.astype(np.float32)) / 2
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_flipping_prediction_and_mask_together_changes_nothing() -> None:
    def both(logits: np.ndarray, masks: np.ndarray) -> tuple:
        logits, masks = jnp.asarray(logits), jnp.asarray(masks)
        return sigmoid_focal_loss(logits, masks).sum((-2, -1)), dice_loss(logits, masks)

    for ours, flipped in zip(
        both(LOGITS, MASKS), both(LOGITS[:, :, ::-1], MASKS[:, :, ::-1]), strict=True
    ):
        np.testing.assert_allclose(ours, flipped, rtol=1e-6)


@pytest.mark.parametrize("magnitude", [0.0, 100.0, 1e4])
def test_finite_at_large_logits(magnitude: float) -> None:
    logits = jnp.array([[magnitude, -magnitude, magnitude, -magnitude]])
    masks = jnp.array([[True, True, False, False]])

    def loss(x: jax.Array) -> jax.Array:
        return sigmoid_focal_loss(x, masks).sum() + dice_loss(x, masks)

    value, gradient = jax.value_and_grad(loss)(logits)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if magnitude:  # a wrong pixel costs its logit: the focal factor is 1 there
        focal = sigmoid_focal_loss(logits, masks)[0]
        expected = [0, 0.25 * magnitude, 0.75 * magnitude, 0]
        np.testing.assert_allclose(focal, expected, rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(gradient[0, 1:3], [-0.25, 0.75], rtol=1e-6)


def test_cross_entropy_finite_at_large_logits() -> None:
    logits = jnp.array([[100.0, -100.0], [100.0, -100.0]])
    labels, weights = jnp.array([0, 1]), jnp.ones(2)
    value, gradient = jax.value_and_grad(
        lambda x: weighted_cross_entropy(x, labels, class_weights=weights).mean()
    )(logits)
    assert value == 100
    np.testing.assert_array_equal(gradient, [[0, 0], [0.5, -0.5]])


@PRECISIONS
def test_pixel_cross_entropy_published(dtype: str, bound: float) -> None:
    labels = COMPONENTS["loss/per_pixel/labels"]
    label_map = np.where(labels == 255, -1, labels)[:, None]  # one row of pixels
    assert (label_map < 0).any()
    with jax.enable_x64(dtype == "float64"):
        maps = jnp.asarray(COMPONENTS["loss/per_pixel/logits"], dtype)[:, :, None]
        loss = pixel_cross_entropy(maps, jnp.asarray(label_map)).sum() / (label_map >= 0).sum()
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss, COMPONENTS["loss/per_pixel/loss"], rtol=bound)


def test_pixel_cross_entropy_of_nothing_is_zero() -> None:
    void = jnp.full((1, 4, 5), -1)
    maps = jnp.asarray(LOGITS)[None]
    loss, gradient = jax.value_and_grad(lambda x: pixel_cross_entropy(x, void).sum())(maps)
    assert loss == 0
    assert not gradient.any()


def test_dice_loss_of_valid_pixels() -> None:
    valid = np.zeros((3, 4, 5), bool)
    valid[:, 1:3, :4] = True
    masks = jnp.asarray(MASKS & valid)
    ours = dice_loss(jnp.asarray(LOGITS), masks, pixel_valid=jnp.asarray(valid))
    expected = dice_loss(jnp.asarray(LOGITS[:, 1:3, :4]), masks[:, 1:3, :4])
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    np.testing.assert_allclose(dice_from_sums(jnp.array(3.0), jnp.array(9.0)), 1 - 7 / 10)


def test_pixel_cross_entropy_worked_numbers() -> None:
    maps = jnp.asarray(np.log([[1.0, 2.0, 1.0], [1.0, 1.0, 3.0]]), jnp.float32)[None, :, None]
    loss = pixel_cross_entropy(maps, jnp.array([[[0, 1, -1]]]))
    np.testing.assert_allclose(loss, [[[np.log(2), np.log(3), 0]]], rtol=1e-6)


def test_sides_by_exponentials_are_those_by_sign() -> None:
    x = jnp.concatenate(
        [jnp.linspace(-120, 120, 2001), jnp.array([0.0, -0.0, 1e-30, -1e-30, 3e38])]
    )
    small = jnp.exp(-jnp.abs(x))
    larger = 1 / (1 + small)
    found = sides_by_exponentials(x, larger)
    for ours, wanted in zip(found, sides_by_sign(x, small, larger), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_a_tpu_takes_exponentials_and_others_the_sign() -> None:
    traced = jax.jit(sigmoid_terms).trace(jnp.zeros(8))
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.exponential ") == (3 if platform == "tpu" else 1)
        assert ("stablehlo.compare" in text) == (platform != "tpu")
