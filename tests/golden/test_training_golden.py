"""Matching, losses and gradients of the published code on the same weights.

Tolerances: shared numbers' README, section 4 (the published code's own float32 error times three
to five).
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from golden_cases import PER_PIXEL, WITH_CLASSES, Case, for_cases
from training_case import SLOTS, make_batch, zero_gradient

from maskformer_jax.config import Config, LossConfig, ModelConfig
from maskformer_jax.convert.official import from_variables
from maskformer_jax.criterion.ground_truth import make_ground_truth
from maskformer_jax.matching.costs import compute_costs, weighted_cost
from maskformer_jax.matching.match import match
from maskformer_jax.training.step import make_loss_function
from maskformer_jax.types import Predictions

TERMS = ("loss_class", "loss_mask", "loss_dice")


@pytest.fixture(scope="session")
def first_result(differentiate: Callable, variables: dict, golden: dict) -> tuple:
    return differentiate(variables["params"], variables.get("constants", {}), make_batch(golden))


def by_layer(terms: dict[str, Any], names: tuple[str, ...], *, layers: int) -> np.ndarray:
    """[layers, terms] in the fixture's order: auxiliary layers, then the last."""
    suffixes = [f"_{layer}" for layer in range(layers - 1)] + [""]
    return np.array([[terms[name + suffix] for name in names] for suffix in suffixes])


@for_cases(*WITH_CLASSES)
def test_matching(first_result: tuple, case: Case, golden: dict) -> None:
    batch = make_batch(golden)

    @jax.jit
    def run(predictions: Predictions) -> tuple:
        truth = make_ground_truth(batch, LossConfig(), size_divisibility=32)
        masks = truth.masks.at_size(predictions.mask_logits.shape[-2:])
        parts = compute_costs(predictions, masks, batch.labels, batch.segment_valid)
        cost = weighted_cost(parts, config=LossConfig())
        return parts, cost, match(cost, batch.segment_valid)

    (_, (_, predictions)), _ = first_result
    parts, cost, assignment = jax.device_get(run(predictions))
    for b in range(2):
        count = len(golden[f"T/labels{b}"])
        bound = case.bounds.cost
        np.testing.assert_allclose(cost[b, :, :, :count], golden[f"T/cost{b}"], atol=bound)
        ours = np.stack([part[b, -1, :, :count] for part in parts])
        np.testing.assert_allclose(ours, golden[f"T/cost_parts{b}"], atol=bound / 10)
        for layer in range(6):
            rows, columns = golden[f"T/match{b}"][layer].T
            expected = np.full(SLOTS, -1)
            expected[columns] = rows
            np.testing.assert_array_equal(assignment[b, layer], expected)


LOSSES = pytest.mark.parametrize(
    ("key", "targets"),
    [
        ("T/losses", (True, True)),
        ("T/one_empty/losses", (True, False)),
        ("T/both_empty/losses", (False, False)),
    ],
)


@LOSSES
@for_cases(*WITH_CLASSES)
def test_losses(
    differentiate: Callable,
    variables: dict,
    case: Case,
    golden: dict,
    key: str,
    targets: tuple[bool, bool],
) -> None:
    batch = make_batch(golden, targets)
    params, constants = variables["params"], variables.get("constants", {})
    (total, (terms, _)), _ = differentiate(params, constants, batch)
    expected = golden[key]
    np.testing.assert_allclose(by_layer(terms, TERMS, layers=6), expected, rtol=case.bounds.loss)
    np.testing.assert_allclose(total, expected.sum(), rtol=case.bounds.loss)


@LOSSES
@for_cases(*PER_PIXEL)
def test_per_pixel_losses(
    differentiate: Callable, variables: dict, golden: dict, key: str, targets: tuple[bool, bool]
) -> None:
    batch = make_batch(golden, targets)
    (total, (terms, _)), gradient = differentiate(
        variables["params"], variables["constants"], batch
    )
    expected = golden[key]
    if not any(targets):
        assert np.isnan(expected).all()  # the published mean over no pixels; ours is 0
        expected = np.zeros_like(expected)
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    ours = by_layer(terms, ("loss_sem_seg",), layers=len(expected))
    assert len(terms) == len(expected) + 1  # and finite_images
    np.testing.assert_allclose(ours, expected, rtol=2e-5)
    np.testing.assert_allclose(total, expected.sum(), rtol=2e-5)


@for_cases("maskformer_R50")
def test_the_loss_of_training_is_the_same(
    model: Any, config: Config, variables: dict, first_result: tuple, golden: dict
) -> None:
    loss = make_loss_function(model, config, num_classes=150, mesh=None)
    total, _ = jax.jit(loss)(
        variables["params"], variables["constants"], make_batch(golden), jax.random.key(0)
    )
    np.testing.assert_allclose(total, first_result[0][0], rtol=2e-6)


@for_cases(*WITH_CLASSES, *PER_PIXEL)
def test_gradients(
    first_result: tuple, case: Case, model_config: ModelConfig, golden: dict, golden_meta: dict
) -> None:
    grads = from_variables({"params": jax.device_get(first_result[1])}, model_config)
    names = golden_meta["parameters"]
    assert sorted(grads) == sorted(names)
    norms = np.array([np.linalg.norm(grads[name]) for name in names])
    total = np.sqrt((norms**2).sum())
    np.testing.assert_allclose(total, golden_meta["grad_total_norm"], rtol=2e-3)

    bounds, zero = case.bounds, zero_gradient(case)
    real = np.array([not zero.search(name) for name in names])
    relative = np.abs(norms - golden["grad/l2"])[real] / golden["grad/l2"][real]
    assert relative.max() < bounds.gradient
    assert np.median(relative) < bounds.gradient_median
    errors = []
    for key in (key for key in golden if key.startswith("grad/") and "." in key):
        name, step = re.fullmatch(r"grad/([^\[]+)(?:\[::(\d+)\])?", key).groups()
        ours = grads[name][:: int(step or 1)]
        if not zero.search(name):
            errors.append(np.linalg.norm(ours - golden[key]) / np.linalg.norm(golden[key]))
    assert len(errors) >= 7
    assert max(errors) < bounds.gradient
    assert np.median(errors) < bounds.gradient_median
