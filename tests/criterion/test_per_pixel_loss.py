"""The loss of the per-pixel baselines: label maps, void, layers, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_cases import NUM_CLASSES, SLOTS, draw, evaluate, pack

from maskformer_jax.criterion.per_pixel_loss import make_label_map
from maskformer_jax.errors import UserError
from maskformer_jax.resize import resize_bilinear
from maskformer_jax.types import Predictions


def test_label_map_is_what_the_segments_say() -> None:
    _, batch = draw()
    label_map = make_label_map(jnp.asarray(batch.segment_map), jnp.asarray(batch.labels))
    for b, y, x in [(0, 0, 0), (0, 63, 9), (1, 30, 30), (1, 8, 63)]:
        segment = batch.segment_map[b, y, x]
        assert label_map[b, y, x] == (-1 if segment < 0 else batch.labels[b, segment])
    np.testing.assert_array_equal(label_map == -1, batch.segment_map == -1)


def test_per_pixel_losses_leave_void_out_and_sum_over_layers() -> None:
    _, batch = draw()
    maps = np.random.default_rng(1).normal(size=(2, 2, NUM_CLASSES, 16, 16)).astype(np.float32)
    (total, terms), gradient = evaluate(Predictions(None, maps), batch)
    assert sorted(terms) == ["loss_sem_seg", "loss_sem_seg_0"]
    label_map = make_label_map(jnp.asarray(batch.segment_map), jnp.asarray(batch.labels))
    for layer, name in enumerate(["loss_sem_seg_0", "loss_sem_seg"]):
        enlarged = resize_bilinear(jnp.asarray(maps[layer]), (64, 64))
        nll = -jax.nn.log_softmax(enlarged, axis=1)
        chosen = [nll[b, label_map[b, y, x], y, x] for b, y, x in np.argwhere(label_map >= 0)[::97]]
        some = np.zeros_like(batch.segment_map) - 1
        for b, y, x in np.argwhere(label_map >= 0)[::97]:
            some[b, y, x] = batch.segment_map[b, y, x]
        (_, few), _ = evaluate(Predictions(None, maps), batch._replace(segment_map=some))
        np.testing.assert_allclose(few[name], np.mean(chosen), rtol=1e-5)
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)
    assert gradient.class_logits is None


def test_maps_are_cut_to_the_size_of_the_image() -> None:
    _, batch = draw()
    maps = np.random.default_rng(1).normal(size=(1, 2, NUM_CLASSES, 16, 16)).astype(np.float32)
    cut = batch._replace(segment_map=batch.segment_map[:, :62, :61])
    void = np.full_like(batch.segment_map, -1)
    void[:, :62, :61] = batch.segment_map[:, :62, :61]
    (_, ours), _ = evaluate(Predictions(None, maps), cut)
    (_, expected), _ = evaluate(Predictions(None, maps), batch._replace(segment_map=void))
    np.testing.assert_allclose(ours["loss_sem_seg"], expected["loss_sem_seg"], rtol=1e-6)


def test_overlapping_segments_are_refused() -> None:
    _, batch = draw()
    maps = np.zeros((1, 2, NUM_CLASSES, 16, 16), np.float32)
    packed = pack(batch, np.zeros((2, SLOTS, 64, 64), bool))
    with pytest.raises(UserError, match="per-pixel baselines cannot be trained on segments"):
        evaluate(Predictions(None, maps), packed)


def test_height_and_width_are_treated_alike() -> None:
    _, batch = draw()
    maps = np.random.default_rng(1).normal(size=(1, 2, NUM_CLASSES, 16, 12)).astype(np.float32)
    wide = batch._replace(segment_map=batch.segment_map[:, :, :46])
    (_, ours), _ = evaluate(Predictions(None, maps), wide)
    turned = wide._replace(segment_map=wide.segment_map.swapaxes(1, 2))
    (_, expected), _ = evaluate(Predictions(None, maps.swapaxes(-1, -2)), turned)
    np.testing.assert_allclose(ours["loss_sem_seg"], expected["loss_sem_seg"], rtol=1e-5)
