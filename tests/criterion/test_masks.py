"""Masks from maps and from packed bits: the same masks, at every size and at points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.ground_truth import GroundTruth, make_ground_truth
from maskformer_jax.criterion.pixel_lookup import pixels_of_points
from maskformer_jax.criterion.pixel_valid import valid_at_points, valid_at_size
from maskformer_jax.errors import UserError
from maskformer_jax.resize import resize_nearest
from maskformer_jax.types import Batch

SIZE, PADDED, SLOTS = (13, 19), (16, 32), 4


def make_truth(*, packed: bool, config: LossConfig | None = None) -> tuple[GroundTruth, np.ndarray]:
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
    assert truth.masks.size == PADDED
    assert truth.masks.num_slots == SLOTS
    return truth, np.pad(dense, ((0, 0), (0, 0), (0, 3), (0, 13)))


@pytest.mark.parametrize("packed", [False, True])
def test_masks(packed: bool) -> None:
    truth, dense = make_truth(packed=packed)
    masks = truth.masks
    for size in [(16, 32), (4, 8), (3, 7)]:
        np.testing.assert_array_equal(masks.at_size(size), resize_nearest(dense, size))
    for slot in range(SLOTS):
        np.testing.assert_array_equal(masks.of_slot(jnp.int32(slot)), dense[:, slot])
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 16, (2, 50)), rng.integers(0, 32, (2, 50))
    points = jnp.asarray(np.stack([(rows + 0.7) / 16, (columns + 0.2) / 32], -1), jnp.float32)
    ours = np.asarray(masks.at_points(points, jnp.array([2, 0])))
    for image in range(2):
        expected = dense[image][:, rows[image], columns[image]][[2, 0]]
        np.testing.assert_array_equal(ours[image], expected)
    edge = masks.at_points(jnp.ones((2, 1, 2)), jnp.arange(SLOTS))
    np.testing.assert_array_equal(edge[..., 0], dense[:, :, -1, -1])


@pytest.mark.parametrize("packed", [False, True])
def test_masks_go_through_jit(packed: bool) -> None:
    truth, dense = make_truth(packed=packed)
    ours = jax.jit(lambda truth: truth.masks.at_size(truth.masks.size))(truth)
    np.testing.assert_array_equal(ours, dense)


def test_pixels_that_points_lie_in() -> None:
    points = jnp.array([[0.0, 0.0], [0.24, 0.26], [0.25, 0.5], [0.999, 0.999], [1.0, 1.0]])
    rows, columns = pixels_of_points(points, (4, 2))
    np.testing.assert_array_equal(rows, [0, 0, 1, 3, 3])
    np.testing.assert_array_equal(columns, [0, 0, 1, 1, 1])


@pytest.mark.parametrize("packed", [False, True])
def test_without_padding(packed: bool) -> None:
    truth, _ = make_truth(packed=packed)
    assert truth.pixel_valid is None
    assert valid_at_size(None, (4, 8)) is None
    assert valid_at_points(None, jnp.zeros((2, 1, 2))) is None
    truth, _ = make_truth(packed=packed, config=LossConfig(ignore_padding=True))
    expected = np.zeros((2, *PADDED), bool)
    expected[0, :13, :19] = expected[1, :10, :19] = True
    np.testing.assert_array_equal(truth.pixel_valid, expected)
    np.testing.assert_array_equal(valid_at_size(truth.pixel_valid, (4, 8)), expected[:, ::4, ::4])
    points = jnp.array([[[0.01, 0.01], [0.7, 0.5], [0.99, 0.01]]] * 2)
    np.testing.assert_array_equal(
        valid_at_points(truth.pixel_valid, points), [[True, True, False], [True, False, False]]
    )


def test_without_void() -> None:
    void, dense = make_truth(packed=False, config=LossConfig(ignore_void=True))
    padding, _ = make_truth(packed=False, config=LossConfig(ignore_padding=True))
    both, _ = make_truth(packed=False, config=LossConfig(ignore_void=True, ignore_padding=True))
    np.testing.assert_array_equal(void.pixel_valid, dense.any(1) | ~np.asarray(padding.pixel_valid))
    np.testing.assert_array_equal(both.pixel_valid, void.pixel_valid & padding.pixel_valid)
    with pytest.raises(UserError, match="ignore_void is True, but must be False where segments"):
        make_truth(packed=True, config=LossConfig(ignore_void=True))
