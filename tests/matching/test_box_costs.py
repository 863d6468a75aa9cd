"""Boxes of masks and the costs between them, on drawn masks with known answers."""

import jax.numpy as jnp
import numpy as np

from maskformer_jax.matching.box_costs import compute_box_costs, find_boxes, generalized_iou


def draw_mask(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((8, 10), bool)
    mask[top, left:right] = mask[bottom - 1, left:right] = True  # hollow: boxes only
    return mask


def test_box_is_around_the_mask() -> None:
    masks = jnp.asarray(np.stack([draw_mask(2, 5, 6, 10), np.zeros((8, 10), bool)]))
    np.testing.assert_allclose(find_boxes(masks), [[0.25, 0.5, 0.75, 1.0], [0, 0, 0, 0]])


def test_generalized_iou_worked_numbers() -> None:
    one = jnp.array([[0.0, 0.0, 0.5, 0.5]])
    others = jnp.array(
        [[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 0.75, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0] * 4]
    )
    # The same; half over; apart, half of the hull empty; an empty box inside.
    np.testing.assert_allclose(generalized_iou(one, others), [1, 1 / 3, -0.5, 0], atol=1e-6)
    assert generalized_iou(jnp.zeros(4), jnp.zeros(4)) == 0


def test_costs_of_boxes() -> None:
    masks = jnp.asarray(np.stack([draw_mask(0, 0, 4, 5), draw_mask(0, 0, 8, 10)])[None])
    logits = np.where(np.stack([draw_mask(0, 0, 4, 5), draw_mask(4, 5, 8, 10)]), 3.0, -3.0)
    cost = compute_box_costs(
        jnp.asarray(logits[None, None], jnp.float32), masks, np.array([[True, True]])
    )
    # Upper left quarter against itself and the whole; lower right quarter against both.
    whole = 5 * (0.25 + 0.25 + 0.5 + 0.5) - 2 * 0.25
    expected = [[-2.0, whole], [5 * (0.5 + 0.5) - 2 * -0.5, whole]]
    np.testing.assert_allclose(cost[0, 0], expected, rtol=1e-6)


def test_a_query_that_is_not_a_number_has_no_finite_cost() -> None:
    masks = jnp.asarray(draw_mask(0, 0, 4, 5)[None, None])
    logits = np.full((1, 1, 2, 8, 10), -1.0, np.float32)
    logits[0, 0, 1, 3, 3] = np.nan
    cost = np.asarray(compute_box_costs(logits, masks, np.ones((1, 1), bool)))[0, 0, :, 0]
    assert np.isfinite(cost[0])
    assert np.isnan(cost[1])


def test_a_box_holds_the_pixels_above_one_half() -> None:
    logits = np.zeros((1, 1, 1, 8, 10), np.float32)  # a probability of exactly one half
    logits[..., 2:4, 5:10] = 1e-3
    masks = jnp.asarray(draw_mask(2, 5, 4, 10)[None, None])
    cost = compute_box_costs(logits, masks, np.ones((1, 1), bool))
    np.testing.assert_allclose(cost, [[[[-2.0]]]], rtol=1e-6)


def test_unused_slots_cost_nothing() -> None:
    masks = jnp.asarray(np.stack([draw_mask(0, 0, 4, 5)] * 2)[None])
    logits = np.full((2, 1, 3, 8, 10), np.nan, np.float32)
    cost = compute_box_costs(logits, masks, np.array([[False, True]]))
    assert cost.shape == (1, 2, 3, 2)
    np.testing.assert_array_equal(cost[..., 0], 0)
    assert np.isnan(cost[..., 1]).all()
