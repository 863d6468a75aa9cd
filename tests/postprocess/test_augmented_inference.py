"""Test-time augmentation: the mean of views, each one mirrored back at the output's size."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.postprocess import (
    View,
    augmented_inference,
    augmented_labels,
    per_pixel_inference,
    semantic_inference,
)

RNG = np.random.default_rng(2)
OUTPUT = (19, 22)
VIEWS = (
    View((16, 24), (13, 21), False),
    View((16, 24), (13, 21), True),
    View((32, 32), (32, 29), False),
)
CLASSES = [jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32) for _ in VIEWS]
MASKS = [
    jnp.asarray(RNG.normal(size=(3, view.padded_size[0] // 4, view.padded_size[1] // 4)) * 3)
    for view in VIEWS
]


@pytest.mark.parametrize("per_pixel", [False, True])
def test_mean_of_the_views(per_pixel: bool) -> None:
    classes = [None] * 3 if per_pixel else CLASSES
    expected = np.zeros((), float)
    for logits, masks, view in zip(classes, MASKS, VIEWS, strict=True):
        if logits is None:
            sizes = {"image_size": view.image_size, "output_size": OUTPUT}
            scores = jax.jit(partial(per_pixel_inference, **sizes))(masks)
        else:
            sizes = {
                "padded_size": view.padded_size,
                "image_size": view.image_size,
                "output_size": OUTPUT,
            }
            scores = jax.jit(partial(semantic_inference, **sizes))(logits, masks)
        expected = expected + np.asarray(scores[:, :, ::-1] if view.mirrored else scores, float) / 3
    options = {"views": VIEWS, "output_size": OUTPUT}
    ours = jax.jit(partial(augmented_inference, **options))(classes, MASKS)
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    labels = jax.jit(partial(augmented_labels, **options, rows_per_band=4))(classes, MASKS)
    np.testing.assert_array_equal(labels, ours.argmax(0))
