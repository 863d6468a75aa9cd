"""Rows in pieces: what is taken from them is what whole rows hold."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.criterion.map_pieces import (
    LONGEST_ROW,
    cut_rows,
    take_of_each,
    take_rows,
    with_pieces,
)


@pytest.mark.parametrize("length", [1, 4, 5, 10, 11])
def test_rows_of_pieces_are_whole(length: int) -> None:
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 10)))
    index = jnp.asarray([[5, 0, 0], [1, 2, 5]])
    pieces = cut_rows(rows, length)
    assert all(piece.shape[-1] <= length for piece in pieces)
    found = take_rows(pieces, index)
    for image in range(2):
        np.testing.assert_array_equal(found[image], rows[image][index[image]])


@pytest.mark.parametrize("length", [1, 4, 10])
def test_forms_of_each_row_are_whole(length: int) -> None:
    forms = jnp.asarray(np.random.default_rng(0).normal(size=(7, 3, 10)))
    index = jnp.asarray([[6, 0], [2, 2], [0, 5]])
    found = take_of_each(cut_rows(forms, length), index)
    assert found.shape == (3, 2, 10)
    for row in range(3):
        np.testing.assert_array_equal(found[row], forms[index[row], row])


@pytest.mark.parametrize("pixels", [LONGEST_ROW, LONGEST_ROW + 1])
def test_a_tpu_cuts_long_rows(pixels: int) -> None:
    index = jnp.zeros((1, 2), jnp.int32)

    def take(rows: Any) -> Any:
        return with_pieces(lambda pieces: take_rows(pieces, index), rows)

    traced = jax.jit(take).trace(jax.ShapeDtypeStruct((1, 3, pixels), jnp.float32))
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        cut = platform == "tpu" and pixels > LONGEST_ROW
        assert text.count('"stablehlo.gather"') == (2 if cut else 1)
        assert ("optimization_barrier" in text) == cut
