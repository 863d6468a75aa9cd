"""Instance inference against the same rules written out in NumPy."""

from functools import partial

import jax
import numpy as np
import pytest

import maskformer_jax as mf
from maskformer_jax.postprocess import Instances
from maskformer_jax.resize import resize_bilinear

RNG = np.random.default_rng(1)
CLASS_LOGITS = RNG.normal(size=(2, 6, 5)).astype(np.float32) * 2
MASK_LOGITS = RNG.normal(size=(2, 6, 8, 9)).astype(np.float32) * 3
MASK_LOGITS[:, 2] = -1  # an empty mask
IS_THING = np.array([True, False, True, True])
SIZES = {"padded_size": (32, 36), "image_size": (30, 33), "output_size": (21, 40)}
NUMBER = 13
infer = jax.jit(
    partial(mf.instance_inference, is_thing=IS_THING, **SIZES, max_instances=NUMBER),
    static_argnames="rows_per_band",
)


def expected_instances(class_logits: np.ndarray, mask_logits: np.ndarray) -> Instances:
    exponentials = np.exp(class_logits.astype(float))
    probabilities = (exponentials / exponentials.sum(1, keepdims=True))[:, :-1]
    enlarged = resize_bilinear(mask_logits, SIZES["padded_size"])[:, :30, :33]
    enlarged = np.asarray(resize_bilinear(enlarged, SIZES["output_size"]), float)
    pairs = sorted(np.ndindex(6, 4), key=lambda pair: -probabilities[pair])[:NUMBER]
    rows = []
    for query, label in pairs:
        mask = enlarged[query] > 0
        inside = 1 / (1 + np.exp(-enlarged[query][mask]))
        score = probabilities[query, label] * inside.mean() if mask.any() else 0
        rows.append((mask, label, score, IS_THING[label] and mask.any()))
    return Instances(*(np.stack(column) for column in zip(*rows, strict=True)))


@pytest.mark.parametrize("rows_per_band", [None, 4])
def test_the_rules(rows_per_band: int | None) -> None:
    for image in range(2):
        expected = expected_instances(CLASS_LOGITS[image], MASK_LOGITS[image])
        assert 0 < expected.valid.sum() < NUMBER
        found = infer(CLASS_LOGITS[image], MASK_LOGITS[image], rows_per_band=rows_per_band)
        np.testing.assert_array_equal(found.masks, expected.masks)
        np.testing.assert_array_equal(found.label, expected.label)
        np.testing.assert_array_equal(found.valid, expected.valid)
        np.testing.assert_allclose(found.score, expected.score, rtol=2e-6)


def test_a_batch_equals_its_images_one_by_one() -> None:
    batch = jax.jit(jax.vmap(infer))(CLASS_LOGITS, MASK_LOGITS)
    for image in range(2):
        one = infer(CLASS_LOGITS[image], MASK_LOGITS[image])
        jax.tree.map(
            np.testing.assert_array_equal, jax.tree.map(lambda x, i=image: x[i], batch), one
        )


def test_no_more_instances_than_pairs() -> None:
    found = jax.eval_shape(
        partial(mf.instance_inference, is_thing=IS_THING, **SIZES), CLASS_LOGITS[0], MASK_LOGITS[0]
    )
    assert found.masks.shape == (24, 21, 40)


def test_at_most_100_instances_by_default() -> None:
    found = jax.eval_shape(
        partial(mf.instance_inference, is_thing=np.ones(11, bool), **SIZES),
        jax.ShapeDtypeStruct((10, 12), np.float32),
        jax.ShapeDtypeStruct((10, 8, 9), np.float32),
    )
    assert found.masks.shape == (100, 21, 40)


@pytest.mark.parametrize("rows_per_band", [None, 3])
def test_a_mask_excludes_pixels_of_probability_one_half(rows_per_band: int | None) -> None:
    masks = np.full((1, 4, 6), -3, np.float32)
    masks[0, 1:, 2] = 0, 1, 2
    sizes = dict.fromkeys(SIZES, (4, 6))
    is_thing = np.array([True])
    infer = partial(mf.instance_inference, is_thing=is_thing, **sizes, rows_per_band=rows_per_band)
    found = jax.jit(infer)(np.float32([[0, 0]]), masks)
    np.testing.assert_array_equal(np.argwhere(found.masks), [[0, 2, 2], [0, 3, 2]])
    inside = 1 / (1 + np.exp(-np.array([1.0, 2.0])))
    np.testing.assert_allclose(found.score, [0.5 * inside.mean()], rtol=1e-6)
    assert found.label.tolist() == [0]
    assert found.valid.tolist() == [True]


def test_an_instance_may_be_a_single_pixel() -> None:
    masks = np.full((1, 4, 6), -3, np.float32)
    masks[0, 1, 2] = 2
    infer = partial(
        mf.instance_inference, is_thing=np.array([True]), **dict.fromkeys(SIZES, (4, 6))
    )
    found = jax.jit(infer)(np.float32([[0, 0]]), masks)
    assert found.valid.tolist() == [True]
    assert np.argwhere(found.masks).tolist() == [[0, 1, 2]]
    # Published scores divide by the area plus 1e-6.
    expected = 0.5 / (1 + np.exp(-2.0)) / (1 + 1e-6)
    np.testing.assert_allclose(found.score, [expected], rtol=3e-7)
