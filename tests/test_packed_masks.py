"""Masks of eight pixels a byte, in the forms for every device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskformer_jax.packed_masks import (
    pack_by_product,
    pack_masks,
    unpack_masks,
    unpack_masks_on_host,
)

MASKS = arrays.arrays(
    bool, st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from((1, 7, 8, 9, 21)))
)
FEW = settings(max_examples=50)  # each shape is compiled


@pytest.mark.parametrize("pack", [pack_masks, pack_by_product])
@FEW
@given(masks=MASKS)
def test_packed_as_numpy_does(pack: Callable[[Any], Any], masks: np.ndarray) -> None:
    packed = np.asarray(pack(jnp.asarray(masks)))
    np.testing.assert_array_equal(packed, np.packbits(masks, axis=-1), strict=True)


@FEW
@given(masks=MASKS, cut=st.integers(0, 5))
def test_unpacked_again(masks: np.ndarray, cut: int) -> None:
    packed = np.packbits(masks, axis=-1)
    width = max(masks.shape[-1] - cut, 1)
    on_device = np.asarray(unpack_masks(jnp.asarray(packed), width))
    for unpacked in (on_device, unpack_masks_on_host(packed, width)):
        np.testing.assert_array_equal(unpacked, masks[..., :width], strict=True)


def test_only_a_tpu_multiplies() -> None:
    masks = jnp.zeros((2, 3, 16), bool)

    def has_product(platform: str) -> bool:
        lowered = jax.jit(pack_masks).trace(masks).lower(lowering_platforms=(platform,))
        return "dot_general" in lowered.as_text()

    assert has_product("tpu")
    assert not has_product("cpu")
    assert not has_product("cuda")
