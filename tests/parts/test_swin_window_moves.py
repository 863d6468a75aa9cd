"""Maps to windows and back: by copies, and by the products that a TPU gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.parts.backbones.swin.window_moves import (
    copy_from_windows,
    copy_to_windows,
    from_windows,
    join_windows,
    multiply_from_windows,
    multiply_to_windows,
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
    moved = copy_to_windows(x, 3, shift=1, extent=None)
    padded = np.pad(x, ((0, 0), (0, 2), (0, 1), (0, 0)))
    expected = np.roll(padded, (-1, -1), axis=(1, 2))
    np.testing.assert_array_equal(moved[0, 3].reshape(3, 3, 2), expected[0, 3:, 3:])


EXTENTS = [None, [[7, 11], [4, 6]], [[1, 9], [7, 3]]]


@pytest.mark.parametrize("extent", EXTENTS, ids=["whole", "two sizes", "thin"])
@pytest.mark.parametrize(("window", "shift"), [(3, 0), (3, 1), (4, 2), (7, 3)])
def test_products_move_what_copies_move(
    window: int, shift: int, extent: list[list[int]] | None
) -> None:
    x, edges = draw(2, 7, 11, 3), None if extent is None else jnp.asarray(extent, jnp.int32)
    settings = {"shift": shift, "extent": edges}
    windows, pull = jax.vjp(lambda x: multiply_to_windows(x, window, **settings), x)
    copies, pull_copies = jax.vjp(lambda x: copy_to_windows(x, window, **settings), x)
    np.testing.assert_array_equal(windows, copies)
    cotangent = draw(*windows.shape)
    np.testing.assert_array_equal(pull(cotangent)[0], pull_copies(cotangent)[0])
    back = multiply_from_windows(cotangent, (7, 11), **settings)
    np.testing.assert_array_equal(back, copy_from_windows(cotangent, (7, 11), **settings))
    np.testing.assert_array_equal(multiply_from_windows(windows, (7, 11), **settings), x)


def test_a_tpu_multiplies_and_others_copy() -> None:
    def there_and_back(x: jax.Array) -> jax.Array:
        return from_windows(to_windows(x, 7, shift=3), (16, 16), shift=3)

    traced = jax.jit(there_and_back).trace(jax.ShapeDtypeStruct((1, 16, 16, 8), "bfloat16"))
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.dot_general") == (4 if platform == "tpu" else 0)
