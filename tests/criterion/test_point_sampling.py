"""Values at points against resizing, and where the points lie."""

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.criterion.point_sampling import sample_bilinear, uncertain_points
from maskformer_jax.resize import resize_bilinear


def test_values_at_pixel_centres_are_those_of_resizing() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    height, width = 20, 21
    y, x = np.mgrid[:height, :width]
    points = np.stack([(y.ravel() + 0.5) / height, (x.ravel() + 0.5) / width], -1)
    points = jnp.asarray(np.broadcast_to(points, (2, 1, *points.shape)), jnp.float32)
    ours = sample_bilinear(jnp.asarray(maps), points)
    expected = resize_bilinear(maps, (height, width)).reshape(2, 3, -1)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_most_points_are_where_the_mask_is_uncertain() -> None:
    # Certain everywhere but in a stripe of an eighth of the width.
    logits = np.full((2, 1, 8, 64), 9.0, np.float32)
    logits[0, ..., 16:24] = logits[1, ..., 40:48] = 0.1
    points = np.asarray(uncertain_points(jax.random.key(0), jnp.asarray(logits), count=400))
    assert points.shape == (2, 1, 400, 2)
    assert (points >= 0).all()
    assert (points < 1).all()
    for image, left in enumerate((16, 40)):
        inside = (points[image, 0, :, 1] * 64 >= left - 1) & (
            points[image, 0, :, 1] * 64 < left + 9
        )
        # 3 x 400 are drawn, about 150 of them in the stripe: all of these are kept first.
        assert 0.3 < inside[:300].mean() < 0.65
        assert inside[300:].mean() < 0.35  # and a quarter is drawn anywhere
