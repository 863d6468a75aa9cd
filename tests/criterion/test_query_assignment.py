"""How queries are matched in the loss: by boxes, by class, at points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_cases import NUM_CLASSES, SLOTS, draw, evaluate, make_batch

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.ground_truth import make_ground_truth
from maskformer_jax.criterion.matching import assign_queries, matching_cost
from maskformer_jax.criterion.point_sampling import sample_bilinear
from maskformer_jax.errors import UserError
from maskformer_jax.matching.box_costs import compute_box_costs
from maskformer_jax.matching.costs import class_costs, compute_costs, weighted_cost
from maskformer_jax.types import Predictions


def test_boxes_are_matched_by_their_place() -> None:
    predictions, batch = draw(layers=1)
    batch = make_batch(np.where(batch.segment_map == 0, 0, -1).astype(np.int16), [[1], [1]])
    masks = np.full((1, 2, 6, 16, 16), -5.0, np.float32)
    for image in range(2):
        rows, columns = np.nonzero(batch.segment_map[image, ::4, ::4] == 0)
        # Query 4 has the segment's box, though not its mask; query 2 has a box elsewhere.
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        masks[0, image, 4][box] = 5
        masks[0, image, 2, :3, :3] = 5
    same_classes = np.zeros_like(predictions.class_logits)
    config = LossConfig(matching="boxes")
    truth = make_ground_truth(batch, config, size_divisibility=0)
    assignment, finite = assign_queries(
        Predictions(same_classes, jnp.asarray(masks)), truth, config
    )
    np.testing.assert_array_equal(assignment[:, 0, 0], [4, 4])
    assert finite.all()


def test_fixed_matching_needs_a_query_for_each_class() -> None:
    predictions, batch = draw()
    with pytest.raises(UserError, match=r"num_queries is 6, but must be 5 .*'fixed'"):
        evaluate(predictions, batch, matching="fixed")
    five = Predictions(*(x[:, :, :NUM_CLASSES] for x in predictions))
    one = make_batch(batch.segment_map, [[3], [2]])
    (_, terms), gradient = evaluate(five, one, matching="fixed")
    touched = np.asarray(gradient.mask_logits).any((0, 3, 4))
    np.testing.assert_array_equal(np.argwhere(touched), [[0, 3], [1, 2]])
    assert terms["loss_class"] > 0


def test_cost_of_boxes_and_classes() -> None:
    predictions, batch = draw()
    config = LossConfig(matching="boxes", class_cost=3.0)
    truth = make_ground_truth(batch, config, size_divisibility=0)
    ours = matching_cost(jax.tree.map(jnp.asarray, predictions), truth, config)
    masks = truth.masks.at_size((16, 16))
    expected = 3 * class_costs(predictions.class_logits, batch.labels, batch.segment_valid)
    expected += compute_box_costs(predictions.mask_logits, masks, batch.segment_valid)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ignore_padding", [False, True])
def test_cost_at_points(ignore_padding: bool) -> None:
    predictions, batch = draw()
    predictions = jax.tree.map(jnp.asarray, predictions)
    valid = np.ones_like(batch.image_valid)
    valid[:, 40:] = False
    batch = batch._replace(
        image_valid=valid, segment_map=np.where(valid, batch.segment_map, -1).astype(np.int16)
    )
    config = LossConfig(num_cost_points=30, ignore_padding=ignore_padding)
    truth = make_ground_truth(batch, config, size_divisibility=0)
    key = jax.random.key(3)
    ours = matching_cost(predictions, truth, config, key=key)
    points = np.asarray(jax.random.uniform(key, (2, 30, 2)))
    for image in range(2):
        here = points[image]
        y, x = np.floor(here * 64).astype(int).T
        kept = valid[image, y, x] | (not ignore_padding)
        assert kept.all() != ignore_padding
        here, y, x = here[kept], y[kept], x[kept]
        logits = sample_bilinear(
            predictions.mask_logits[:, image], jnp.asarray(here)[None, None]
        )  # [l, q, p]
        masks = batch.segment_map[image, y, x][None] == np.arange(SLOTS)[:, None]
        one = Predictions(predictions.class_logits[:, image : image + 1], logits[:, None, :, None])
        costs = compute_costs(
            one,
            masks[None, :, None],
            batch.labels[image : image + 1],
            batch.segment_valid[image : image + 1],
        )
        expected = weighted_cost(costs, config=config)[0]
        np.testing.assert_allclose(ours[image], expected, rtol=1e-4, atol=1e-5)


def test_points_need_a_key() -> None:
    predictions, batch = draw()
    for field in ("num_points", "num_cost_points"):
        with pytest.raises(UserError, match="num_points and num_cost_points need a random key"):
            evaluate(predictions, batch, **{field: 4})


def test_which_costs_are_finite() -> None:
    predictions, batch = draw(images=3)
    masks = predictions.mask_logits.copy()
    masks[0, 1, 2] = 3e38  # the logits are finite, but costs of sums of them are not
    predictions = predictions._replace(mask_logits=masks)
    truth = make_ground_truth(batch, LossConfig(), size_divisibility=0)
    _, finite = assign_queries(jax.tree.map(jnp.asarray, predictions), truth, LossConfig())
    np.testing.assert_array_equal(finite, [True, False, True])
