"""Costs and assignment: published numbers, brute force on small problems, awkward input."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import LossConfig
from maskformer_jax.matching.costs import class_costs, compute_costs, weighted_cost
from maskformer_jax.matching.match import choose_matcher, match, solve_assignments
from maskformer_jax.resize import resize_nearest
from maskformer_jax.types import CostMatrices, Predictions

COMPONENTS = np.load(Path(__file__).parents[1] / "golden" / "components.npz")
SLOTS = 6  # more than any case has segments: empty slots must change nothing


@jax.jit
def compute_and_match(
    predictions: Predictions, segment_map: jax.Array, labels: jax.Array, valid: jax.Array
) -> tuple:
    """The downsampled map, the costs, the weighted cost and the assignment."""
    small = resize_nearest(segment_map, predictions.mask_logits.shape[-2:])
    masks = small[:, None] == jnp.arange(labels.shape[1], dtype=small.dtype)[None, :, None, None]
    costs = compute_costs(predictions, masks, labels, valid)
    cost = weighted_cost(costs, config=LossConfig())
    return small, costs, cost, match(cost, valid)


@pytest.mark.parametrize("case", ["even", "odd", "surplus", "none", "extreme"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_published(case: str, dtype: str) -> None:
    golden = {
        key.removeprefix(f"matcher/{case}/"): COMPONENTS[key]
        for key in COMPONENTS.files
        if key.startswith(f"matcher/{case}/")
    }
    count = len(golden["labels"])
    segment_map = np.full((1, *golden["masks"].shape[1:]), -1, np.int16)
    for slot, mask in enumerate(golden["masks"]):
        segment_map[0][mask] = slot
    labels = np.zeros((1, SLOTS), np.int32)
    labels[0, :count] = golden["labels"]
    valid = np.arange(SLOTS)[None] < count
    with jax.enable_x64(dtype == "float64"):
        predictions = Predictions(
            jnp.asarray(golden["pred_logits"][None, None], dtype),
            jnp.asarray(golden["pred_masks"][None, None], dtype),
        )
        small, costs, cost, assignment = jax.device_get(
            compute_and_match(predictions, segment_map, labels, valid)
        )
    assert cost.dtype == dtype
    for slot in range(count):
        np.testing.assert_array_equal(small[0] == slot, golden["small_masks"][slot])

    bound = 1e-12 if dtype == "float64" else 1e-6  # relative to the largest
    names = ("cost_class", "cost_mask", "cost_dice", "cost")
    for ours, name in zip((*costs, cost), names, strict=True):
        largest = np.abs(golden[name]).max(initial=1)
        np.testing.assert_allclose(
            ours[0, 0, :, :count], golden[name], rtol=0, atol=bound * largest, err_msg=name
        )
        assert (ours[0, 0, :, count:] == 0).all()
    expected = np.full(SLOTS, -1)
    expected[golden["cols"]] = golden["rows"]
    np.testing.assert_array_equal(assignment[0, 0], expected)


@pytest.mark.parametrize(("queries", "segments"), [(1, 1), (4, 2), (4, 4), (2, 4), (3, 0)])
def test_assignment_is_optimal(queries: int, segments: int) -> None:
    rng = np.random.default_rng(queries * 10 + segments)
    cost = rng.normal(size=(3, 2, queries, 5)).astype(np.float32)
    valid = np.zeros((3, 5), bool)
    for row in valid:  # used slots need not come first
        row[rng.permutation(5)[:segments]] = True
    assignment = np.asarray(match(jnp.asarray(cost), valid))
    assert assignment.dtype == np.int32
    for image, layer in np.ndindex(3, 2):
        queries_of = assignment[image, layer]
        assert (queries_of[~valid[image]] == -1).all()
        slots = np.flatnonzero(queries_of >= 0)
        assert len(slots) == len(set(queries_of[slots])) == min(queries, segments)
        ours = cost[image, layer, queries_of[slots], slots].sum()
        assert ours == pytest.approx(cheapest(cost[image, layer][:, valid[image]]), abs=1e-6)


def cheapest(cost: np.ndarray) -> float:
    """The smallest total cost, by brute force."""
    cost = cost if cost.shape[0] >= cost.shape[1] else cost.T
    columns = np.arange(cost.shape[1])
    return min(
        cost[list(rows), columns].sum()
        for rows in itertools.permutations(range(len(cost)), len(columns))
    )


def test_permuting_queries_permutes_the_assignment() -> None:
    rng = np.random.default_rng(0)
    cost, valid = rng.normal(size=(1, 1, 6, 4)).astype(np.float32), np.ones((1, 4), bool)
    order = rng.permutation(6)
    before = match(jnp.asarray(cost), valid)
    after = match(jnp.asarray(cost[:, :, order]), valid)
    np.testing.assert_array_equal(order[np.asarray(after)], before)


def test_extra_slots_change_nothing() -> None:
    rng = np.random.default_rng(1)
    cost, valid = rng.normal(size=(2, 2, 5, 3)).astype(np.float32), np.array([[1, 1, 0], [1, 1, 1]])
    padding = np.full((2, 2, 5, 4), -1e6, np.float32)  # tempting
    before = match(jnp.asarray(cost), valid.astype(bool))
    after = match(
        jnp.asarray(np.concatenate([cost, padding], -1)), np.pad(valid, ((0, 0), (0, 4))) > 0
    )
    np.testing.assert_array_equal(after[..., :3], before)
    assert (after[..., 3:] == -1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("everywhere", [False, True])
def test_non_finite_costs_give_a_valid_assignment(value: float, everywhere: bool) -> None:
    cost = np.random.default_rng(2).normal(size=(1, 2, 5, 3)).astype(np.float32)
    cost[0, 0, :, :] = value if everywhere else cost[0, 0]
    cost[0, 0, 2, 1] = value
    assignment = np.asarray(jax.jit(match)(cost, np.ones((1, 3), bool)))
    for layer in assignment[0]:
        assert len(set(layer)) == 3
        assert set(layer) <= set(range(5))


def test_void_belongs_to_no_mask() -> None:
    predictions = Predictions(jnp.zeros((1, 1, 2, 3)), jnp.full((1, 1, 2, 4, 4), -20.0))
    void = np.full((1, 4, 4), -1, np.int16)
    labels, valid = np.zeros((1, 2), np.int32), np.ones((1, 2), bool)
    _, costs, _, _ = compute_and_match(predictions, void, labels, valid)
    np.testing.assert_allclose(costs.mask, 0, atol=1e-6)  # empty masks, rightly predicted empty
    np.testing.assert_allclose(costs.dice, 0, atol=1e-6)
    np.testing.assert_allclose(costs.classification, -1 / 3, rtol=1e-6)


def test_bfloat16_predictions_are_compared_in_float32() -> None:
    key = jax.random.key(0)
    logits = jax.random.normal(key, (1, 1, 3, 4), jnp.bfloat16)
    masks = jax.random.normal(key, (1, 1, 3, 8, 8), jnp.bfloat16)
    small = np.zeros((1, 8, 8), np.int16)
    labels, valid = np.zeros((1, 1), np.int32), np.ones((1, 1), bool)
    _, low, _, _ = compute_and_match(Predictions(logits, masks), small, labels, valid)
    predictions = Predictions(logits.astype(jnp.float32), masks.astype(jnp.float32))
    _, high, _, _ = compute_and_match(predictions, small, labels, valid)
    for ours, expected in zip(low, high, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


def test_no_gradient_flows_through_the_costs() -> None:
    def total(masks: jax.Array) -> jax.Array:
        small = np.zeros((1, 4, 4), np.int16)
        labels, valid = np.zeros((1, 1), np.int32), np.ones((1, 1), bool)
        predictions = Predictions(jnp.zeros((1, 1, 2, 3)), masks)
        _, _, cost, assignment = compute_and_match(predictions, small, labels, valid)
        return cost.sum() + assignment.sum()

    assert not jax.grad(total)(jnp.ones((1, 1, 2, 4, 4))).any()


def test_weights_of_the_costs() -> None:
    ones = jnp.ones((1, 1, 2, 2))
    config = LossConfig(class_weight=7.0, class_cost=2.0, mask_weight=3.0, dice_weight=5.0)
    ours = weighted_cost(CostMatrices(ones, 10 * ones, 100 * ones), config=config)
    np.testing.assert_array_equal(ours, np.full((1, 1, 2, 2), 532.0))


def test_host_function_is_numpy() -> None:
    cost = np.array([[[[1.0, 0.0], [0.0, 3.0]]]])
    np.testing.assert_array_equal(solve_assignments(cost, np.ones((1, 2), bool)), [[[1, 0]]])


def test_only_valid_pixels_are_compared() -> None:
    rng = np.random.default_rng(0)
    classes = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)
    logits = rng.normal(size=(2, 2, 3, 5, 6)).astype(np.float32)
    masks = rng.random((2, 4, 5, 6)) < 0.5
    valid = np.zeros((2, 5, 6), bool)
    valid[0, 1:, :4] = True  # nothing of the second image
    masks &= valid[:, None]
    labels, used = rng.integers(0, 3, (2, 4)), np.array([[True, True, False, True]] * 2)
    predictions = Predictions(classes, logits)
    ours = compute_costs(predictions, masks, labels, used, pixel_valid=jnp.asarray(valid))
    cropped = Predictions(classes[:, :1], logits[:, :1, :, 1:, :4])
    expected = compute_costs(cropped, masks[:1, :, 1:, :4], labels[:1], used[:1])
    for x, y in zip(ours, expected, strict=True):
        np.testing.assert_allclose(x[0], y[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ours.mask[1], 0)
    np.testing.assert_array_equal(ours.dice[1], 0)
    assert (np.asarray(ours.mask[0, :, :, 3]) > 0).all()
    for cost in (*ours, class_costs(classes, labels, used)):
        np.testing.assert_array_equal(cost[:, :, :, 2], 0)  # an unused slot


def test_auto_calls_the_host_only_from_a_cpu_that_keeps_no_programs() -> None:
    cost, valid = jnp.zeros((1, 1, 2, 2)), np.ones((1, 2), bool)

    def calls_host(matcher: str) -> bool:
        return "pure_callback" in str(
            jax.make_jaxpr(lambda x: match(x, valid, matcher=matcher))(cost)
        )

    folder = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        assert calls_host("auto")
        assert choose_matcher("auto", "cpu") == "scipy"
        assert choose_matcher("auto", "tpu") == choose_matcher("auto", "gpu") == "jax"
        jax.config.update("jax_compilation_cache_dir", "somewhere")
        assert not calls_host("auto")
        assert choose_matcher("auto", "cpu") == "jax"
        assert choose_matcher("scipy", "tpu") == "scipy"
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
    assert calls_host("scipy")
    assert not calls_host("jax")
