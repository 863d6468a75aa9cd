"""Maps to windows and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.parts.backbones.swin.window_moves import (
    from_windows,
    join_windows,
    split_windows,
    to_windows,
)

RNG = np.random.default_rng(0)


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def test_windows_are_cut_and_joined() -> None:
    x = draw(2, 6, 9, 4)
    windows = split_windows(x, 3)
    np.testing.assert_array_equal(windows[1, 4].reshape(3, 3, 4), x[1, 3:6, 3:6])
    np.testing.assert_array_equal(join_windows(windows, (6, 9)), x)


def test_tokens_that_leave_a_map_enter_it_at_the_other_side() -> None:
    x = draw(1, 4, 5, 2)
    moved = to_windows(x, 3, shift=1, extent=None)
    padded = np.pad(x, ((0, 0), (0, 2), (0, 1), (0, 0)))
    expected = np.roll(padded, (-1, -1), axis=(1, 2))
    np.testing.assert_array_equal(moved[0, 3].reshape(3, 3, 2), expected[0, 3:, 3:])


@pytest.mark.parametrize("extent", [None, [[7, 11], [4, 6]]], ids=["whole", "two sizes"])
@pytest.mark.parametrize(("window", "shift"), [(3, 0), (3, 1), (7, 3)])
def test_windows_lead_back_to_the_map(
    window: int, shift: int, extent: list[list[int]] | None
) -> None:
    x, edges = draw(2, 7, 11, 3), None if extent is None else jnp.asarray(extent, jnp.int32)
    windows = to_windows(x, window, shift=shift, extent=edges)
    back = from_windows(windows, (7, 11), shift=shift, extent=edges)
    np.testing.assert_array_equal(back, x)
