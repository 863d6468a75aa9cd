"""What the terms are divided by: worked numbers, groups of images, parts of a batch."""

import jax
import numpy as np
import pytest
from loss_cases import NUM_CLASSES, draw, evaluate, make_batch

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.criterion import compute_losses
from maskformer_jax.criterion.normalizers import Normalizers, count_normalizers
from maskformer_jax.types import Batch, Predictions


def test_no_object_weight() -> None:
    predictions, batch = draw(layers=1)
    batch = batch._replace(segment_valid=np.zeros_like(batch.segment_valid))
    uniform = predictions._replace(class_logits=np.zeros_like(predictions.class_logits))
    (total, _), _ = evaluate(uniform, batch, no_object_weight=0.3)
    assert total == pytest.approx(np.log(NUM_CLASSES + 1))  # a mean: one weight cancels


def test_class_losses_by_groups_are_averaged() -> None:
    predictions, batch = draw(images=4)
    few = batch.segment_valid.copy()
    few[:2] = False
    batch = batch._replace(segment_valid=few)
    (_, terms), _ = evaluate(predictions, batch, class_groups=2)
    (_, whole), _ = evaluate(predictions, batch)
    halves = []
    for part in (slice(0, 2), slice(2, 4)):
        split = jax.tree.map(lambda x, part=part: x[part], batch)
        one = Predictions(*(x[:, part] for x in predictions))
        halves.append(evaluate(one, split)[0][1]["loss_class"])
    np.testing.assert_allclose(terms["loss_class"], np.mean(halves), rtol=1e-6)
    assert abs(whole["loss_class"] - np.mean(halves)) > 1e-3
    np.testing.assert_allclose(terms["loss_mask"], whole["loss_mask"], rtol=1e-6)


def test_parts_of_a_batch_add_up() -> None:
    predictions, batch = draw(images=4)
    few = batch.segment_valid.copy()
    few[1] = False
    batch = batch._replace(segment_valid=few)
    whole = evaluate(predictions, batch)[0]
    normalizers = count_normalizers(batch, LossConfig(), num_queries=6)

    @jax.jit
    def loss(predictions: Predictions, batch: Batch, normalizers: Normalizers) -> jax.Array:
        return compute_losses(
            predictions,
            batch,
            LossConfig(),
            num_classes=NUM_CLASSES,
            size_divisibility=0,
            normalizers=normalizers,
        )[0]

    total = 0.0
    for image in range(4):
        part, part_normalizers = jax.tree.map(lambda x, i=image: x[i : i + 1], (batch, normalizers))
        one = Predictions(*(x[:, image : image + 1] for x in predictions))
        total += loss(one, part, part_normalizers)
    np.testing.assert_allclose(total, whole[0], rtol=1e-6)


def test_worked_numbers() -> None:
    _, batch = draw(images=4)
    # 3, 0, 8 and 1 segments; 6 queries.
    valid = np.arange(8)[None] < np.array([[3], [0], [8], [1]])
    segment_map = np.full((4, 2, 5), -1, np.int16)
    segment_map[0, 0], segment_map[2], segment_map[3, 0, 0] = 0, 7, 0
    batch = batch._replace(segment_valid=valid, segment_map=segment_map)
    ours = count_normalizers(batch, LossConfig(no_object_weight=0.5), num_queries=6)
    np.testing.assert_allclose(ours.classes, [3 + 1.5 + 3 + 6 + 1 + 2.5] * 4)
    np.testing.assert_allclose(ours.pixels, [5 + 10 + 1] * 4)
    np.testing.assert_allclose(ours.masks, [12] * 4)
    config = LossConfig(no_object_weight=0.5, class_groups=2)
    ours = count_normalizers(batch, config, num_queries=6)
    np.testing.assert_allclose(ours.classes, np.repeat([2 * 7.5, 2 * 9.5], 2))
    np.testing.assert_allclose(ours.pixels, np.repeat([2 * 5, 2 * 11], 2))
    np.testing.assert_allclose(ours.masks, [12] * 4)
    config = LossConfig(no_object_weight=0.5, class_groups=4)
    ours = count_normalizers(batch, config, num_queries=6)
    np.testing.assert_allclose(ours.classes, [4 * 4.5, 4 * 3, 4 * 6, 4 * 3.5])
    np.testing.assert_allclose(ours.pixels, [4 * 5, 4 * 1, 4 * 10, 4 * 1])  # at least one each


def test_nothing_to_divide_by() -> None:
    empty = make_batch(np.full((2, 4, 4), -1, np.int16), [[], []])
    for groups, least in ((1, 1), (2, 2)):
        config = LossConfig(no_object_weight=0.0, class_groups=groups)
        ours = count_normalizers(empty, config, num_queries=6)
        assert (np.asarray(ours.classes) > 0).all()
        assert (np.asarray(ours.classes) < 1e-30).all()
        np.testing.assert_array_equal(ours.pixels, [least] * 2)
        np.testing.assert_array_equal(ours.masks, [1, 1])
    packed = empty._replace(segment_map=None, masks=np.zeros((2, 8, 4, 1), np.uint8))
    ours = count_normalizers(packed, LossConfig(), num_queries=6)
    np.testing.assert_array_equal(ours.pixels, [1, 1])


def test_fixed_matching_counts_classes() -> None:
    batch = make_batch(np.zeros((1, 4, 4), np.int16), [[0, 0, 4]])  # one query for both of class 0
    config = LossConfig(matching="fixed", no_object_weight=0.5)
    ours = count_normalizers(batch, config, num_queries=5)
    np.testing.assert_allclose(ours.classes, [2 + 1.5])
    np.testing.assert_allclose(ours.masks, [3])
