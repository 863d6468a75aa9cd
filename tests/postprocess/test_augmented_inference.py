"""Test-time augmentation: the mean of views, mirrored back at the size of the output."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.postprocess import (
    ImageSizes,
    View,
    augmented_inference,
    augmented_labels,
    per_pixel_inference,
    semantic_inference,
)

RNG = np.random.default_rng(2)
OUTPUT = (19, 22)
VIEWS = (
    View(ImageSizes((16, 24), (13, 21), OUTPUT), False),
    View(ImageSizes((16, 24), (13, 21), OUTPUT), True),
    View(ImageSizes((32, 32), (32, 29), OUTPUT), False),
)
CLASSES = [jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32) for _ in VIEWS]
MASKS = [
    jnp.asarray(RNG.normal(size=(3, *(side // 4 for side in view.sizes.padded_size))) * 3)
    for view in VIEWS
]


@pytest.mark.parametrize(
    ("per_pixel", "options"),
    [(False, {}), (False, {"resize_before_inference": True}), (True, {})],
)
def test_mean_of_the_views(per_pixel: bool, options: dict[str, bool]) -> None:
    classes = [None] * 3 if per_pixel else CLASSES
    expected = np.zeros((), float)
    for logits, masks, view in zip(classes, MASKS, VIEWS, strict=True):
        if logits is None:
            scores = jax.jit(partial(per_pixel_inference, sizes=view.sizes))(masks)
        else:
            infer = partial(semantic_inference, **view.sizes._asdict(), **options)
            scores = jax.jit(infer)(logits, masks)
        expected = expected + np.asarray(scores[:, :, ::-1] if view.mirrored else scores, float) / 3
    ours = jax.jit(partial(augmented_inference, views=VIEWS, **options))(classes, MASKS)
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    labels = jax.jit(partial(augmented_labels, views=VIEWS, **options, rows_per_band=4))(
        classes, MASKS
    )
    np.testing.assert_array_equal(labels, ours.argmax(0))


def test_views_must_have_the_same_output_size() -> None:
    views = (VIEWS[0], View(VIEWS[1].sizes._replace(output_size=(22, 19)), True))
    with pytest.raises(ValueError, match="different output sizes"):
        augmented_inference(CLASSES[:2], MASKS[:2], views=views)
