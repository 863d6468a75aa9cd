"""Semantic inference: published numbers, the order of resizes, and bands."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.postprocess import (
    ImageSizes,
    per_pixel_inference,
    per_pixel_labels,
    semantic_inference,
    semantic_labels,
)
from maskformer_jax.resize import resize_bilinear

COMPONENTS = np.load(Path(__file__).parents[1] / "golden" / "components.npz")
RNG = np.random.default_rng(0)
CLASS_LOGITS = jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32)
MASK_LOGITS = jnp.asarray(RNG.normal(size=(3, 6, 8)) * 3, jnp.float32)
SIZES = ImageSizes(padded_size=(24, 32), image_size=(21, 30), output_size=(40, 37))


@pytest.mark.parametrize("name", ["coco", "ade"])
@pytest.mark.parametrize("resize_before_inference", [False, True])
def test_published(name: str, resize_before_inference: bool) -> None:
    size = COMPONENTS[f"inference/{name}/pred_masks"].shape[1:]
    with jax.enable_x64(True):
        scores = semantic_inference(
            jnp.asarray(COMPONENTS[f"inference/{name}/pred_logits"]),
            jnp.asarray(COMPONENTS[f"inference/{name}/pred_masks"]),
            padded_size=size,
            image_size=size,
            output_size=size,
            resize_before_inference=resize_before_inference,
        )
    scores = np.asarray(scores)
    np.testing.assert_allclose(scores[::10], COMPONENTS[f"inference/{name}/semantic"], rtol=1e-6)
    expected = COMPONENTS[f"inference/{name}/semantic_argmax"]
    np.testing.assert_array_equal(scores.argmax(0), expected)


def sample(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize written out pixel by pixel."""
    output = np.zeros(size)
    for y, x in np.ndindex(*size):
        row, column = (
            max((i + 0.5) * before / after - 0.5, 0)
            for i, before, after in zip((y, x), image.shape, size, strict=True)
        )
        top, left = int(row), int(column)
        bottom, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
        above = image[top, left] + (column - left) * (image[top, right] - image[top, left])
        below = image[bottom, left] + (column - left) * (image[bottom, right] - image[bottom, left])
        output[y, x] = above + (row - top) * (below - above)
    return output


@pytest.mark.parametrize("resize_before_inference", [False, True])
def test_order_of_resizes(resize_before_inference: bool) -> None:
    weights = np.exp(np.asarray(CLASS_LOGITS, float))
    weights = (weights / weights.sum(-1, keepdims=True))[:, :-1]
    masks = [sample(mask, (24, 32))[:21, :30] for mask in np.asarray(MASK_LOGITS, float)]
    if resize_before_inference:
        masks = [sample(mask, (40, 37)) for mask in masks]
    expected = np.einsum("qk,qhw->khw", weights, 1 / (1 + np.exp(-np.stack(masks))))
    if not resize_before_inference:
        expected = np.stack([sample(score, (40, 37)) for score in expected])
    ours = jax.jit(
        partial(
            semantic_inference, **SIZES._asdict(), resize_before_inference=resize_before_inference
        )
    )(CLASS_LOGITS, MASK_LOGITS)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_the_sum_comes_before_the_second_resize_by_default() -> None:
    first, last = (
        semantic_inference(CLASS_LOGITS, MASK_LOGITS, **SIZES._asdict(), resize_before_inference=x)
        for x in (False, True)
    )
    scores = semantic_inference(CLASS_LOGITS, MASK_LOGITS, **SIZES._asdict())
    np.testing.assert_array_equal(scores, first)
    assert np.abs(scores - last).max() > 1e-3
    labels = semantic_labels(CLASS_LOGITS, MASK_LOGITS, sizes=SIZES)
    assert (labels == first.argmax(0)).mean() > (labels == last.argmax(0)).mean()


def test_jit_and_vmap() -> None:
    def infer(class_logits: jax.Array, mask_logits: jax.Array) -> jax.Array:
        return semantic_inference(class_logits, mask_logits, **SIZES._asdict())

    pairs = jnp.stack([CLASS_LOGITS, CLASS_LOGITS[::-1]]), jnp.stack([MASK_LOGITS, -MASK_LOGITS])
    together = jax.jit(jax.vmap(infer))(*pairs)
    for i in range(2):
        np.testing.assert_allclose(together[i], infer(pairs[0][i], pairs[1][i]), atol=1e-6)


def test_bfloat16_logits_give_float32_scores() -> None:
    scores = semantic_inference(
        CLASS_LOGITS.astype(jnp.bfloat16), MASK_LOGITS.astype(jnp.bfloat16), **SIZES._asdict()
    )
    assert scores.dtype == jnp.float32
    assert scores.shape == (4, 40, 37)


def test_per_pixel_scores_are_the_logits_enlarged_four_times_then_cropped() -> None:
    scores = per_pixel_inference(MASK_LOGITS, sizes=ImageSizes((24, 32), (22, 29), (40, 37)))
    enlarged = resize_bilinear(MASK_LOGITS, (24, 32))[:, :22, :29]
    np.testing.assert_allclose(scores, resize_bilinear(enlarged, (40, 37)), atol=2e-6)


@pytest.mark.parametrize("resize_before_inference", [False, True])
@pytest.mark.parametrize("rows_per_band", [None, 7])
def test_labels_of_bands_are_the_argmax_of_all_scores(
    resize_before_inference: bool, rows_per_band: int | None
) -> None:
    options = {"resize_before_inference": resize_before_inference}
    scores = jax.jit(partial(semantic_inference, **SIZES._asdict(), **options))(
        CLASS_LOGITS, MASK_LOGITS
    )
    options["rows_per_band"] = rows_per_band
    labels = jax.jit(partial(semantic_labels, sizes=SIZES, **options))(CLASS_LOGITS, MASK_LOGITS)
    assert labels.dtype == jnp.int32
    np.testing.assert_array_equal(labels, scores.argmax(0))


def test_per_pixel_labels_of_bands_are_the_argmax_of_all_scores() -> None:
    sizes = ImageSizes((24, 32), (22, 29), (40, 17))
    scores = jax.jit(partial(per_pixel_inference, sizes=sizes))(MASK_LOGITS)
    labels = jax.jit(partial(per_pixel_labels, sizes=sizes, rows_per_band=1))(MASK_LOGITS)
    np.testing.assert_array_equal(labels, scores.argmax(0))


def test_no_array_of_a_band_is_as_large_as_a_stack_of_score_maps() -> None:
    def labels(class_logits: jax.Array, mask_logits: jax.Array) -> jax.Array:
        return semantic_labels(
            class_logits,
            mask_logits,
            sizes=ImageSizes((64, 96), (64, 96), (512, 768)),
            rows_per_band=16,
        )

    classes, masks = jnp.zeros((20, 51)), jnp.zeros((20, 16, 24))
    memory = jax.jit(labels).lower(classes, masks).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.2 * 50 * 512 * 768 * 4
