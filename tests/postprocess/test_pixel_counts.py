"""Counting the pixels of masks, in the forms for every device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskformer_jax.postprocess.pixel_counts import count_by_product, count_pixels

MASKS = arrays.arrays(
    bool, st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from((1, 7, 8, 21)))
)


@pytest.mark.parametrize("count", [count_pixels, count_by_product])
@settings(max_examples=50)  # each shape is compiled
@given(masks=MASKS)
def test_pixels_are_counted(count: Callable[[Any], Any], masks: np.ndarray) -> None:
    counted = np.asarray(count(jnp.asarray(masks)))
    expected = np.array([mask.sum() for mask in masks], np.int32)
    np.testing.assert_array_equal(counted, expected, strict=True)


def test_counts_of_large_masks_are_exact() -> None:
    masks = jnp.ones((1, 4099, 4099), bool)  # more pixels than float32 counts one by one
    assert int(count_by_product(masks)[0]) == 4099**2


def test_only_a_tpu_multiplies() -> None:
    masks = jnp.zeros((2, 3, 16), bool)

    def has_product(platform: str) -> bool:
        lowered = jax.jit(count_pixels).trace(masks).lower(lowering_platforms=(platform,))
        return "dot_general" in lowered.as_text()

    assert has_product("tpu")
    assert not has_product("cpu")
    assert not has_product("cuda")
