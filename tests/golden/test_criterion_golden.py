"""Costs, matching and losses from the published code's own logits, without running the model."""

from typing import Any

import jax
import numpy as np
import pytest
from golden_cases import for_cases

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.criterion.ground_truth import make_ground_truth
from maskformer_jax.matching.costs import compute_costs, weighted_cost
from maskformer_jax.matching.match import match
from maskformer_jax.types import Batch, Predictions

pytestmark = for_cases("maskformer_R50")  # the others' logits are not kept whole
SIZE = (64, 96)
SLOTS = 10


@pytest.fixture(scope="module")
def last_layer(golden: dict[str, np.ndarray]) -> Predictions:
    return Predictions(golden["T/pred_logits"][-1:], golden["T/pred_masks"][None])


@pytest.fixture(scope="module")
def batch(golden: dict[str, np.ndarray]) -> Batch:
    segment_map = np.full((2, *SIZE), -1, np.int16)
    labels = np.zeros((2, SLOTS), np.int32)
    segment_valid = np.zeros((2, SLOTS), bool)
    for b in range(2):
        height, width = golden[f"T/image{b}"].shape[:2]
        for slot, mask in enumerate(golden[f"T/masks{b}"]):
            segment_map[b, :height, :width][mask] = slot
        count = len(golden[f"T/labels{b}"])
        labels[b, :count] = golden[f"T/labels{b}"]
        segment_valid[b, :count] = True
    image = np.zeros((2, *SIZE, 3), np.uint8)
    return Batch(image, np.ones((2, *SIZE), bool), segment_map, labels, segment_valid)


def test_costs_and_matching(golden: dict[str, np.ndarray], last_layer: Any, batch: Batch) -> None:
    @jax.jit
    def run(predictions: Predictions, batch: Batch) -> tuple:
        truth = make_ground_truth(batch, LossConfig(), size_divisibility=32)
        masks = truth.masks.at_size(predictions.mask_logits.shape[-2:])
        costs = compute_costs(predictions, masks, batch.labels, batch.segment_valid)
        cost = weighted_cost(costs, config=LossConfig())
        return costs, cost, match(cost, batch.segment_valid)

    costs, cost, assignment = jax.device_get(run(last_layer, batch))
    for b in range(2):
        count = len(golden[f"T/labels{b}"])
        parts = np.stack([part[b, 0, :, :count] for part in costs])
        np.testing.assert_allclose(parts, golden[f"T/cost_parts{b}"], rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(cost[b, 0, :, :count], golden[f"T/cost{b}"][-1], rtol=2e-6)
        queries, segments = golden[f"T/match{b}"][-1].T
        expected = np.full(SLOTS, -1)
        expected[segments] = queries
        np.testing.assert_array_equal(assignment[b, 0], expected)


def test_losses(golden: dict[str, np.ndarray], last_layer: Any, batch: Batch) -> None:
    @jax.jit
    def run(predictions: Predictions, batch: Batch) -> tuple:
        return compute_losses(
            predictions, batch, LossConfig(), num_classes=150, size_divisibility=32
        )

    _, terms = run(last_layer, batch)
    ours = [terms["loss_class"], terms["loss_mask"], terms["loss_dice"]]
    np.testing.assert_allclose(ours, golden["T/losses"][-1], rtol=1e-6)
