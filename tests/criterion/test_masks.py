"""Masks from maps and from packed bits: the same masks, at every size and at points."""

import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.ground_truth import (
    GroundTruth,
    counted_at_points,
    counted_at_size,
    make_ground_truth,
    mask_of_slot,
    masks_at_points,
    masks_at_size,
)
from maskformer_jax.errors import UserError
from maskformer_jax.resize import resize_nearest
from maskformer_jax.types import Batch

SIZE, PADDED, SLOTS = (13, 19), (16, 32), 4


def make_batch(*, packed: bool, config: LossConfig | None = None) -> tuple[GroundTruth, np.ndarray]:
    """Ground truth of two images and its dense masks [2, N, 16, 32]."""
    segment_map = np.random.default_rng(0).integers(-1, SLOTS, (2, *SIZE)).astype(np.int16)
    dense = segment_map[:, None] == np.arange(SLOTS)[:, None, None]
    valid = np.ones((2, *SIZE), bool)
    valid[1, 10:] = False
    batch = Batch(
        image=np.zeros((2, *SIZE, 3), np.uint8),
        image_valid=valid,
        segment_map=None if packed else segment_map,
        labels=np.zeros((2, SLOTS), np.int32),
        segment_valid=np.ones((2, SLOTS), bool),
        masks=np.packbits(dense, axis=-1) if packed else None,
    )
    truth = make_ground_truth(batch, config or LossConfig(), size_divisibility=16)
    assert truth.size == PADDED
    return truth, np.pad(dense, ((0, 0), (0, 0), (0, 3), (0, 13)))


@pytest.mark.parametrize("packed", [False, True])
def test_masks(packed: bool) -> None:
    truth, dense = make_batch(packed=packed)
    for size in [(16, 32), (4, 8), (3, 7)]:
        ours = masks_at_size(truth, size, num_slots=SLOTS)
        np.testing.assert_array_equal(ours, resize_nearest(dense, size))
    for slot in range(SLOTS):
        np.testing.assert_array_equal(mask_of_slot(truth, jnp.int32(slot)), dense[:, slot])
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 16, (2, 50)), rng.integers(0, 32, (2, 50))
    points = jnp.asarray(np.stack([(rows + 0.7) / 16, (columns + 0.2) / 32], -1), jnp.float32)
    ours = np.asarray(masks_at_points(truth, points, jnp.array([2, 0])))
    for image in range(2):
        expected = dense[image][:, rows[image], columns[image]][[2, 0]]
        np.testing.assert_array_equal(ours[image], expected)
    edge = masks_at_points(truth, jnp.ones((2, 1, 2)), jnp.arange(SLOTS))
    np.testing.assert_array_equal(edge[..., 0], dense[:, :, -1, -1])


@pytest.mark.parametrize("packed", [False, True])
def test_pixels_that_count(packed: bool) -> None:
    assert make_batch(packed=packed)[0].counted is None
    truth, _ = make_batch(packed=packed, config=LossConfig(ignore_padding=True))
    expected = np.zeros((2, *PADDED), bool)
    expected[0, :13, :19] = expected[1, :10, :19] = True
    np.testing.assert_array_equal(truth.counted, expected)
    np.testing.assert_array_equal(counted_at_size(truth, (4, 8)), expected[:, ::4, ::4])
    points = jnp.array([[[0.01, 0.01], [0.7, 0.5], [0.99, 0.01]]] * 2)
    np.testing.assert_array_equal(
        counted_at_points(truth, points), [[True, True, False], [True, False, False]]
    )


def test_void_that_does_not_count() -> None:
    void, dense = make_batch(packed=False, config=LossConfig(ignore_void=True))
    padding, _ = make_batch(packed=False, config=LossConfig(ignore_padding=True))
    both, _ = make_batch(packed=False, config=LossConfig(ignore_void=True, ignore_padding=True))
    np.testing.assert_array_equal(void.counted, dense.any(1) | ~np.asarray(padding.counted))
    np.testing.assert_array_equal(both.counted, void.counted & padding.counted)
    with pytest.raises(UserError, match="ignore_void is True, but segments that may overlap"):
        make_batch(packed=True, config=LossConfig(ignore_void=True))
