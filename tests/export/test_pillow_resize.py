"""Resizing inside of a program is Pillow's, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskformer_jax.data import transforms
from maskformer_jax.export.pillow_resize import resize_image

BOUND, REDUCTION = 96, 6.0
resize = jax.jit(
    lambda image, size, new: resize_image(
        image, size, new, bounds=(BOUND, BOUND), reduction=REDUCTION
    )
)


def check(size: tuple[int, int], new_size: tuple[int, int], *, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    # Noise outside of the image, and flat areas that saturate inside of it.
    image = np.where(
        random.random((BOUND, BOUND, 1)) < 0.3, 255, random.integers(0, 256, (96, 96, 3))
    )
    image = image.astype(np.uint8)
    height, width = size
    expected = transforms.resize_image(np.ascontiguousarray(image[:height, :width]), new_size)
    found = np.asarray(resize(image, jnp.array(size), jnp.array(new_size)))
    np.testing.assert_array_equal(found[: new_size[0], : new_size[1]], expected)
    assert not found[new_size[0] :].any()
    assert not found[:, new_size[1] :].any()


@pytest.mark.parametrize(
    ("size", "new_size"),
    [
        ((96, 96), (96, 96)),  # nothing to do
        ((96, 64), (16, 11)),  # shrunk, one side by a fraction
        ((50, 50), (25, 25)),  # by half: taps at the edge of the filter
        ((20, 30), (40, 90)),  # enlarged
        ((17, 96), (31, 16)),  # one of each
        ((1, 1), (5, 3)),
        ((96, 5), (1, 1)),
    ],
)
def test_bits_are_those_of_pillow(size: tuple[int, int], new_size: tuple[int, int]) -> None:
    if max(size[0] / new_size[0], size[1] / new_size[1]) > REDUCTION:
        new_size = (max(new_size[0], 16), max(new_size[1], 1))
    check(size, new_size)


sides = st.integers(1, BOUND)


@settings(max_examples=150)
@given(height=sides, width=sides, new_height=sides, new_width=sides, seed=st.integers(0, 9))
def test_bits_are_those_of_pillow_at_any_size(
    height: int, width: int, new_height: int, new_width: int, seed: int
) -> None:
    smallest = int(np.ceil(height / REDUCTION)), int(np.ceil(width / REDUCTION))
    check((height, width), (max(new_height, smallest[0]), max(new_width, smallest[1])), seed=seed)
