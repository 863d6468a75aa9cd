"""General inference for semantic segmentation against its rule written out in NumPy."""

from functools import partial
from pathlib import Path

import jax
import numpy as np

from maskformer_jax.postprocess import ImageSizes, general_semantic_labels, panoptic_inference

RNG = np.random.default_rng(0)
# Labels 0, 1, 0, no-object; the probability of the third is below 0.3.
CLASS_LOGITS = np.float32([[3, 0, 0, 0], [0, 3, 0, 0], [0.2, 0.1, 0.1, 0.1], [0, 0, 0, 9]])
MASK_LOGITS = RNG.normal(0, 2, (4, 5, 6)).astype(np.float32)
SIZES = ImageSizes(padded_size=(5, 6), image_size=(5, 6), output_size=(5, 6))
infer = jax.jit(partial(general_semantic_labels, sizes=SIZES))


def softmax(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def test_each_pixel_takes_the_class_of_its_most_probable_query():
    score = softmax(CLASS_LOGITS)[[0, 1], [0, 1]]
    products = score[:, None, None] / (1 + np.exp(-MASK_LOGITS[:2]))
    labels = infer(CLASS_LOGITS, MASK_LOGITS)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, products.argmax(0))
    assert set(np.unique(labels)) == {0, 1}


def test_the_threshold_selects_queries():
    without = infer(CLASS_LOGITS, MASK_LOGITS)
    masks = MASK_LOGITS.copy()
    masks[2] = 50  # the unconfident query: 0.27 at all pixels
    masks[:2] -= 20
    np.testing.assert_array_equal(infer(CLASS_LOGITS, masks), without)
    assert not np.any(infer(CLASS_LOGITS, masks, score_threshold=0.2))
    # No class probability exceeds 1: no query is selected.
    assert np.all(infer(CLASS_LOGITS, masks, score_threshold=1.0) == -1)


def test_a_query_that_is_not_selected_never_owns_a_pixel():
    masks = np.full((4, 5, 6), 50, np.float32)
    masks[1] = -200  # a mask probability of exactly 0
    logits = np.float32([[0, 0, 0, 9], [0, 9, 0, 0], [0, 0, 0, 9], [0.2, 0.1, 0.1, 0.1]])
    assert np.all(infer(logits, masks) == 1)


def test_it_equals_panoptic_inference_without_the_overlap_rule():
    golden = Path(__file__).parents[1] / "golden" / "maskformer_panoptic_swin_tiny.npz"
    with np.load(golden) as archive:
        logits, masks = archive["A/pred_logits"], archive["A/pred_masks"]
    sizes = ImageSizes(padded_size=(96, 128), image_size=(96, 128), output_size=(40, 50))
    infer = partial(general_semantic_labels, sizes=sizes, rows_per_band=16)
    labels = jax.jit(infer)(logits, masks)
    segments = jax.jit(
        partial(
            panoptic_inference,
            is_thing=np.zeros(logits.shape[1] - 1, bool),
            **sizes._asdict(),
            object_mask_threshold=0.3,
            overlap_threshold=0.0,
        )
    )(logits, masks)
    id_map = np.asarray(segments.id_map)
    label = np.asarray(segments.label)[np.maximum(id_map - 1, 0)]
    assert len(np.unique(labels)) > 3
    assert (id_map > 0).mean() > 0.9  # masks without a pixel above 0.5 become void there
    np.testing.assert_array_equal(np.asarray(labels)[id_map > 0], label[id_map > 0])
