"""Values at points against resizing, and where the points lie."""

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.criterion.point_sampling import draw_uncertain_points, sample_bilinear
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
    points = np.asarray(draw_uncertain_points(jax.random.key(0), jnp.asarray(logits), count=400))
    assert points.shape == (2, 1, 400, 2)
    assert (points >= 0).all()
    assert (points < 1).all()
    for image, left in enumerate((16, 40)):
        inside = (points[image, 0, :, 1] * 64 >= left - 1) & (
            points[image, 0, :, 1] * 64 < left + 9
        )
        # Of 3 x 400 candidates about 150 lie in the stripe; they come first.
        assert 0.3 < inside[:300].mean() < 0.65
        assert inside[300:].mean() < 0.35  # and a quarter is uniform


def test_the_least_certain_candidates_come_first() -> None:
    logits = jax.random.normal(jax.random.key(5), (2, 3, 4, 6))
    key = jax.random.key(1)
    points = draw_uncertain_points(key, logits, count=9)
    assert points.shape == (2, 3, 9, 2)
    first, second = jax.random.split(key)
    candidates = jax.random.uniform(first, (2, 3, 27, 2))
    certainty = np.abs(sample_bilinear(logits, candidates))
    order = np.argsort(certainty, axis=-1)[..., :6, None]  # three quarters of 9, rounded down
    expected = np.take_along_axis(np.asarray(candidates), order, axis=-2)
    np.testing.assert_array_equal(points[..., :6, :], expected)
    np.testing.assert_array_equal(points[..., 6:, :], jax.random.uniform(second, (2, 3, 3, 2)))


def test_values_of_a_map_at_worked_points() -> None:
    maps = jnp.array([[[0.0, 1.0], [10.0, 21.0]]])
    points = jnp.array([[[0.25, 0.25], [0.75, 0.75], [0.5, 0.25], [0.5, 0.5], [0.0, 1.0]]])
    np.testing.assert_allclose(sample_bilinear(maps, points), [[0, 21, 5, 8, 1]], atol=1e-6)


def test_no_gradient_flows_through_the_choice_of_points() -> None:
    def total(logits: jax.Array) -> jax.Array:
        return draw_uncertain_points(jax.random.key(0), logits, count=4).sum()

    assert not jax.grad(total)(jnp.ones((2, 4, 4))).any()
