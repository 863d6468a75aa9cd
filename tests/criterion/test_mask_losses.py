"""Mask losses: against plain formulas, of overlapping masks, without ignored pixels, at points."""

from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_cases import NUM_CLASSES, SLOTS, assert_same, draw, evaluate, make_batch, pack
from scipy.optimize import linear_sum_assignment

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion import map_pieces
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.criterion.mask_losses import compute_mask_losses
from maskformer_jax.criterion.masks import DisjointMasks
from maskformer_jax.losses import dice_loss, sigmoid_focal_loss
from maskformer_jax.resize import resize_bilinear
from maskformer_jax.types import Batch, Predictions


def test_masks_are_compared_as_by_the_plain_formula() -> None:
    predictions, batch = draw()
    mask_logits, segment_map = jnp.asarray(predictions.mask_logits), jnp.asarray(batch.segment_map)
    # Unmatched slots come first and between matched ones.
    assignment = jnp.array([[[-1, 3, 0, -1], [2, -1, 5, -1]], [[1, 0, -1, -1], [-1, -1, -1, -1]]])

    def plain(mask_logits: jax.Array) -> jax.Array:
        enlarged = resize_bilinear(mask_logits, segment_map.shape[1:])
        focal, dice = [0.0, 0.0], [0.0, 0.0]
        for image, layer, slot in np.argwhere(np.asarray(assignment) >= 0):
            logits = enlarged[layer, image, assignment[image, layer, slot]]
            focal[layer] += sigmoid_focal_loss(logits, segment_map[image] == slot).mean()
            dice[layer] += dice_loss(logits, segment_map[image] == slot)
        focal, dice = 2 * jnp.stack(focal), 5 * jnp.stack(dice)
        return jnp.stack([focal + dice, focal, dice])

    masks = DisjointMasks(segment_map, 4)
    weights = {"focal_weight": 2.0, "dice_weight": 5.0}

    def ours(mask_logits: jax.Array) -> jax.Array:
        return jnp.stack(compute_mask_losses(mask_logits, assignment, masks, **weights))

    expected, plain_pull_back = jax.vjp(plain, mask_logits)
    assert_same(ours(mask_logits), expected)  # without the gradient: another loop
    losses, pull_back = jax.vjp(ours, mask_logits)
    assert_same(losses, expected)
    # Of each layer's total, and of nothing else: the parts carry no gradient.
    layers, zero = jnp.array([3.0, 7.0]), jnp.zeros(2)
    cotangent = jnp.stack([layers, zero, zero])
    assert_same(pull_back(cotangent), plain_pull_back(cotangent), atol=1e-6)
    assert not jnp.any(pull_back(jnp.stack([zero, layers, layers]))[0])


def test_the_program_of_a_tpu_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, batch = draw()
    assignment = jnp.array([[[-1, 3, 0, -1], [2, -1, 5, -1]], [[1, 0, -1, -1], [-1, -1, -1, -1]]])
    masks = DisjointMasks(jnp.asarray(batch.segment_map), 4)

    def total(mask_logits: jax.Array) -> jax.Array:
        return compute_mask_losses(mask_logits, assignment, masks).total.sum()

    mask_logits = jnp.asarray(predictions.mask_logits)
    expected = jax.value_and_grad(total)(mask_logits)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, tpu, default: tpu(*args))
    monkeypatch.setattr(map_pieces, "LONGEST_ROW", mask_logits[0, 0, 0].size // 2 - 1)
    cuts = Mock(side_effect=map_pieces.cut_rows)
    monkeypatch.setattr(map_pieces, "cut_rows", cuts)
    assert_same(total(mask_logits), expected[0])
    for found, wanted in zip(jax.value_and_grad(total)(mask_logits), expected, strict=True):
        assert_same(found, wanted, atol=1e-6)
    assert cuts.call_count == 2


def test_the_memory_of_gradients_is_divided_among_gpus() -> None:
    predictions, batch = draw()
    assignment = jnp.zeros((2, 2, 4), jnp.int32)

    def loss(mask_logits: jax.Array, segment_map: jax.Array) -> jax.Array:
        masks = DisjointMasks(segment_map, 4)
        return compute_mask_losses(
            mask_logits, assignment, masks, focal_weight=2.0, dice_weight=5.0
        )[0].sum()

    traced = jax.jit(jax.grad(loss)).trace(predictions.mask_logits, batch.segment_map)
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        # XLA's partitioner for GPUs gives every device all of such a buffer.
        assert ("AllocateBuffer" in text) == (platform == "tpu")


def test_packed_masks_give_what_the_map_gives() -> None:
    predictions, batch = draw()
    dense = batch.segment_map[:, None] == np.arange(SLOTS)[:, None, None]
    assert_same(evaluate(predictions, pack(batch, dense)), evaluate(predictions, batch))


def test_overlapping_masks_against_the_dense_formula() -> None:
    predictions, batch = draw(layers=1)
    rng = np.random.default_rng(3)
    width = 52  # the last byte of a row is not full; the model pads to 64
    dense = rng.random((2, SLOTS, 8, 13)).repeat(8, 2).repeat(4, 3) < 0.5
    assert (dense[:, :3].sum(1) > 1).any()
    batch = pack(batch, dense)._replace(image=np.zeros((2, 64, width, 3), np.uint8))
    (_, terms), _ = evaluate(predictions, batch, size_divisibility=64)

    padded = np.pad(dense, ((0, 0), (0, 0), (0, 0), (0, 12)))
    small = padded[:, :3, ::4, ::4]
    logits = jnp.asarray(predictions.mask_logits[0])
    enlarged = resize_bilinear(logits, (64, 64))
    expected_focal, expected_dice = 0.0, 0.0
    for image in range(2):
        probabilities = np.asarray(jax.nn.softmax(predictions.class_logits[0, image]))
        cost = np.zeros((6, 3))
        for q, n in np.ndindex(6, 3):
            x, y = logits[image, q], jnp.asarray(small[image, n])
            cost[q, n] = 20 * sigmoid_focal_loss(x, y).mean() + dice_loss(x, y)
            cost[q, n] -= probabilities[q, batch.labels[image, n]]
        for q, n in zip(*linear_sum_assignment(cost), strict=True):
            x, y = enlarged[image, q], jnp.asarray(padded[image, n])
            expected_focal += float(sigmoid_focal_loss(x, y).mean()) / 6
            expected_dice += float(dice_loss(x, y)) / 6
    np.testing.assert_allclose(terms["loss_mask"], 20 * expected_focal, rtol=1e-5)
    np.testing.assert_allclose(terms["loss_dice"], expected_dice, rtol=1e-5)


def test_ignored_pixels_do_not_matter() -> None:
    predictions, batch = draw(layers=1)
    settings = {"ignore_void": True, "ignore_padding": True}
    valid = np.ones_like(batch.image_valid)
    valid[0, :, 40:] = False
    segment_map = np.where(valid, batch.segment_map, -1).astype(np.int16)
    batch = batch._replace(image_valid=valid, segment_map=segment_map)
    ours, gradient = evaluate(predictions, batch, **settings)
    # Cells of ignored pixels that touch no labelled cell: bilinear enlarging mixes neighbours.
    labelled = (segment_map >= 0)[:, ::4, ::4]
    near = np.zeros_like(labelled)
    for y, x in np.ndindex(3, 3):
        near |= np.roll(labelled, (y - 1, x - 1), (1, 2))
    assert not near.all()
    assert not np.asarray(gradient.mask_logits)[0][
        np.broadcast_to(~near[:, None], (2, 6, 16, 16))
    ].any()
    masks = np.where(near[None, :, None], predictions.mask_logits, 77.0).astype(np.float32)
    assert_same(evaluate(predictions._replace(mask_logits=masks), batch, **settings)[0], ours)
    assert evaluate(predictions, batch)[0][0] != ours[0]


def test_points_in_place_of_pixels() -> None:
    predictions, batch = draw(layers=1)
    full = make_batch(np.zeros_like(batch.segment_map), [[1], [2]])
    level = np.random.default_rng(0).normal(size=(1, 2, 6, 1, 1)).astype(np.float32)
    flat = predictions._replace(mask_logits=np.broadcast_to(level, predictions.mask_logits.shape))
    points = LossConfig(num_points=60, num_cost_points=50)

    def loss(predictions: Predictions, batch: Batch, key: jax.Array) -> tuple:
        return compute_losses(
            predictions, batch, points, num_classes=NUM_CLASSES, size_divisibility=0, key=key
        )

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, terms), _ = run(flat, full, jax.random.key(0))
    (_, expected), _ = evaluate(flat, full)
    np.testing.assert_allclose(terms["loss_mask"], expected["loss_mask"], rtol=1e-5)
    # With masks that vary, the key alone decides the points.
    (one, _), gradient = run(predictions, batch, jax.random.key(1))
    (again, _), _ = run(predictions, batch, jax.random.key(1))
    (other, _), _ = run(predictions, batch, jax.random.key(2))
    assert one == again != other
    step = 1e-2 * gradient.mask_logits / np.linalg.norm(gradient.mask_logits)
    moved = predictions._replace(mask_logits=predictions.mask_logits - np.asarray(step))
    (lower, _), _ = run(moved, batch, jax.random.key(1))
    # The points depend on the logits, so the decrease is only roughly the predicted one.
    assert lower < one


def test_only_valid_pixels_are_compared() -> None:
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(1, 2, 3, 6, 8)), jnp.float32)
    segment_map = rng.integers(-1, 2, (2, 6, 8)).astype(np.int16)
    valid = np.zeros((2, 6, 8), bool)
    valid[0, :4, 3:] = True  # nothing of the second image
    segment_map[~valid] = -1
    _, focal, dice = compute_mask_losses(
        logits,
        jnp.array([[[2, 1]], [[0, -1]]]),
        DisjointMasks(jnp.asarray(segment_map), 2),
        jnp.asarray(valid),
    )
    expected_focal, expected_dice = 0.0, 1 - 1 / (0 + 1)
    for query, slot in ((2, 0), (1, 1)):
        x, y = logits[0, 0, query, :4, 3:], jnp.asarray(segment_map[0, :4, 3:] == slot)
        expected_focal += float(sigmoid_focal_loss(x, y).mean())
        expected_dice += float(dice_loss(x, y))
    np.testing.assert_allclose(focal, [expected_focal], rtol=1e-6)
    np.testing.assert_allclose(dice, [expected_dice], rtol=1e-6)


def test_only_valid_points_are_compared() -> None:
    # Constant logits and one mask over everything: each valid point has the same focal loss, and
    # the mean over the points of an image that has some is that value.
    logits = jnp.full((1, 2, 1, 4, 4), 0.7)
    valid = np.ones((2, 16, 16), bool)
    valid[0, :, 8:] = False
    valid[1] = False
    focal = compute_mask_losses(
        logits,
        jnp.zeros((2, 1, 1), jnp.int32),
        DisjointMasks(jnp.zeros((2, 16, 16), jnp.int16), 1),
        jnp.asarray(valid),
        num_points=40,
        key=jax.random.key(0),
    ).focal
    expected = sigmoid_focal_loss(jnp.full((1,), 0.7), jnp.ones((1,), bool))
    np.testing.assert_allclose(focal, expected, rtol=1e-5)


def test_layers_one_by_one_give_the_same() -> None:
    predictions, batch = draw()
    assert_same(evaluate(predictions, batch, by_layer=True), evaluate(predictions, batch))
