"""Groups of windows, which a TPU gets, against windows, which all others get."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.parts.backbones.swin.window_attention import (
    Parameters,
    WindowAttention,
    attend_by_groups,
    attend_by_windows,
)
from maskformer_jax.parts.backbones.swin.window_groups import (
    Grouping,
    choose_grouping,
    from_groups,
    to_groups,
)
from maskformer_jax.parts.backbones.swin.window_moves import to_windows
from maskformer_jax.parts.extent import clear_outside

EXTENTS = [None, [[7, 11], [4, 6]], [[1, 9], [7, 3]]]
NAMES = ["whole", "two sizes", "thin"]


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


@pytest.mark.parametrize(
    ("window", "width", "expected"),
    [
        (7, 128, Grouping(7, row=8, together=2)),  # 19 windows, one is added
        (7, 64, Grouping(7, row=8, together=2)),
        (7, 32, Grouping(7, row=8, together=1)),  # 5 windows, a sixth would be a fifth more
        (12, 160, Grouping(12, row=12, together=1)),  # 144 tokens are whole tiles
        (2, 64, Grouping(2, row=4, together=16)),
        (2, 10, Grouping(2, row=4, together=5)),
    ],
)
def test_windows_fill_the_lanes(window: int, width: int, expected: Grouping) -> None:
    grouping = choose_grouping(window, width)
    assert grouping == expected
    assert grouping.tokens % 8 == 0
    assert grouping.windows_of_row(width) % grouping.together == 0


@pytest.mark.parametrize("extent", EXTENTS, ids=NAMES)
@pytest.mark.parametrize(
    ("window", "shift", "together"), [(3, 0, 1), (3, 1, 2), (4, 2, 3), (7, 3, 2)]
)
def test_groups_hold_the_tokens_of_windows(
    window: int, shift: int, together: int, extent: list[list[int]] | None
) -> None:
    x, edges = jnp.asarray(draw(2, 7, 11, 3)), None
    if extent is not None:
        edges = jnp.asarray(extent, jnp.int32)
    grouping = Grouping(window, row=window + 1, together=together)
    groups = to_groups(x, grouping, shift=shift, extent=edges)
    windows = to_windows(x, window, shift=shift, extent=edges)

    in_row = -(-11 // window)
    rows = windows.shape[1] // in_row
    found = groups.reshape(2, rows, -1, window, window + 1, 3)
    assert found.shape[2] == in_row + -in_row % together
    tokens = windows.reshape(2, rows, in_row, window, window, 3)
    np.testing.assert_array_equal(found[:, :, :in_row, :, :window], tokens)
    assert not found[:, :, in_row:].any()
    assert not found[..., window:, :].any()
    back = from_groups(groups, (7, 11), grouping, shift=shift, extent=edges)
    np.testing.assert_array_equal(back, x)


def results(
    attend: Any, *, window: int, shift: int, extent: list[list[int]] | None, dtypes: Any
) -> list[np.ndarray]:
    """The result with and without a gradient, and the gradients of all inputs.

    Inputs are rounded to the first dtype and the computation is in the second.
    """
    heads, channels, size = 3, 24, (13, 16)

    def value(*shape: int) -> Any:
        return jnp.asarray(draw(*shape), dtypes[0]).astype(dtypes[1])

    edges = None if extent is None else jnp.asarray(extent, jnp.int32)
    x = clear_outside(value(2, *size, channels), edges)
    kernel, bias = value(channels, 3 * channels) / 4, value(3 * channels)
    parameters = Parameters(kernel, bias, jnp.asarray(draw(heads, window**2, window**2)))

    def run(x: Any, parameters: Parameters) -> Any:
        return attend(x, parameters, edges, window=window, shift=shift)

    @jax.jit
    def values(x: Any, parameters: Parameters, cotangent: Any) -> list[Any]:
        out, pull = jax.vjp(run, x, parameters)
        return [out, run(x, parameters), *jax.tree.leaves(pull(cotangent))]

    found = values(x, parameters, value(2, *size, channels))
    assert [one.dtype for one in found] == [dtypes[1]] * 5 + [jnp.float32]
    return [np.asarray(one, np.float64) for one in found]


@pytest.mark.parametrize("extent", [None, [[9, 16], [13, 10]]], ids=["whole", "two sizes"])
@pytest.mark.parametrize(("window", "shift"), [(7, 0), (7, 3), (3, 1), (12, 6)])
def test_groups_compute_what_windows_compute(
    window: int, shift: int, extent: list[list[int]] | None
) -> None:
    run = partial(
        results, window=window, shift=shift, extent=extent, dtypes=(jnp.float32, jnp.float32)
    )
    for expected, found in zip(run(attend_by_windows), run(attend_by_groups), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_groups_are_as_exact_in_16_bits() -> None:
    run = partial(results, window=7, shift=3, extent=None)
    exact = run(attend_by_windows, dtypes=(jnp.bfloat16, jnp.float32))
    both = (jnp.bfloat16, jnp.bfloat16)
    for wanted, windows, groups in zip(
        exact,
        run(attend_by_windows, dtypes=both),
        run(attend_by_groups, dtypes=both),
        strict=True,
    ):
        error = np.sqrt(np.mean((groups - wanted) ** 2))
        assert 0 < error <= 1.2 * np.sqrt(np.mean((windows - wanted) ** 2))


def test_float32_parameters_have_gradients_in_a_float64_computation() -> None:
    with jax.enable_x64(True):
        x = jnp.asarray(draw(1, 10, 12, 8))
        parameters = Parameters(
            jnp.asarray(draw(8, 24)), jnp.asarray(draw(24)), jnp.float32(draw(2, 49, 49))
        )

        @jax.grad
        def gradients(parameters: Parameters) -> Any:
            return attend_by_groups(x, parameters, None, window=7, shift=3).sum()

        found = [one.dtype for one in gradients(parameters)]
        assert found == [jnp.float64, jnp.float64, jnp.float32]


def test_gradients_multiply_in_the_precision_that_was_asked_for() -> None:
    grouping = choose_grouping(7, 14)
    x = jax.ShapeDtypeStruct((1, 14, 14, 16), jnp.float32)
    model = WindowAttention(2, 7, shift=3)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)

    def loss(variables: Any, x: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return model.apply(variables, x).sum()

    lowered = jax.jit(jax.grad(loss)).trace(variables, x).lower(lowering_platforms=("tpu",))
    products = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    assert f"x{grouping.tokens}x{grouping.tokens}x" in lowered.as_text()  # the TPU's form
    assert len(products) > 15
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


def test_a_tpu_attends_by_groups_and_others_by_windows() -> None:
    model = WindowAttention(2, 7, shift=3)
    x = jax.ShapeDtypeStruct((1, 16, 20, 8), jnp.bfloat16)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    traced = jax.jit(model.apply).trace(variables, x)
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        # qkv, logits, values and proj; four to cut maps and join them
        assert text.count("stablehlo.dot_general") == (8 if platform == "tpu" else 4)
