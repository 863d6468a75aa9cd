import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.parts.backbones.swin.model import PatchMerging, Swin, SwinBlock
from maskformer_jax.parts.backbones.swin.window_attention import WindowAttention

RNG = np.random.default_rng(0)
TINY = {"embed_dim": 8, "depths": (2, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window": 3}
IMAGES = jnp.asarray(RNG.normal(size=(2, 37, 50, 3)), jnp.float32)


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def test_strides_and_widths_at_any_size():
    model = Swin(**TINY)
    features, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)
    assert variables.keys() == {"params"}
    for i, name in enumerate([4, 8, 16, 32]):
        stride = 4 * 2**i
        assert features[name].shape == (2, -(-37 // stride), -(-50 // stride), 8 * 2**i)


def attend_pixel_by_pixel(params, x, *, heads, window, shift):
    """Window attention of one map [h, w, d], from its definition, pair by pair."""
    height, width, d = x.shape
    rows, columns = (-(-n // window) * window for n in (height, width))
    padded = np.zeros((rows, columns, d))
    padded[:height, :width] = x
    qkv = padded @ params["qkv"]["kernel"] + params["qkv"]["bias"]
    qkv = qkv.reshape(rows, columns, 3, heads, d // heads)

    def part(place, length):  # after the shift: which stretch of the map, torn at the last window
        moved = (place - shift) % length
        torn = (moved >= length - window).astype(int) + (moved >= length - shift)
        return moved // window, moved % window, torn if shift else 0 * torn

    row_window, row_place, row_torn = part(np.arange(rows), rows)
    column_window, column_place, column_torn = part(np.arange(columns), columns)
    out = np.zeros((rows, columns, heads, d // heads))
    table = params["relative_position_bias_table"]
    for i in range(height):
        for j in range(width):
            same = (row_window == row_window[i])[:, None] & (column_window == column_window[j])
            ys, xs = np.nonzero(same)
            offset = (row_place[i] - row_place[ys] + window - 1) * (2 * window - 1)
            offset = offset + column_place[j] - column_place[xs] + window - 1
            logits = np.einsum("md,kmd->km", qkv[i, j, 0], qkv[ys, xs, 1])
            logits = logits / np.sqrt(d // heads) + table[offset]
            apart = (row_torn[ys] != row_torn[i]) | (column_torn[xs] != column_torn[j])
            weights = np.exp(logits - 100.0 * apart[:, None])
            out[i, j] = np.einsum("km,kmd->md", weights / weights.sum(0), qkv[ys, xs, 2])
    out = out.reshape(rows, columns, d)[:height, :width]
    return out @ params["proj"]["kernel"] + params["proj"]["bias"]


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("size", [(3, 3), (5, 7)])
def test_attention_follows_its_definition(make_variables, size, shift):
    x = draw(1, *size, 8)
    module = WindowAttention(num_heads=2, window=3, shift=shift)
    variables = make_variables(module, x)
    output = module.apply(variables, x)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    expected = attend_pixel_by_pixel(
        params, np.asarray(x[0], np.float64), heads=2, window=3, shift=shift
    )
    np.testing.assert_allclose(output[0], expected, rtol=1e-4, atol=1e-5)


def test_merging_takes_the_lower_left_before_the_upper_right(make_variables):
    x = draw(1, 3, 5, 4)
    module = PatchMerging()
    variables = make_variables(module, x)
    output = module.apply(variables, x)
    assert output.shape == (1, 2, 3, 8)
    cell = jnp.concatenate([x[0, 0, 2], x[0, 1, 2], x[0, 0, 3], x[0, 1, 3]])
    params = variables["params"]
    normed = (cell - cell.mean()) / jnp.sqrt(cell.var() + 1e-5)
    normed = normed * params["norm"]["scale"] + params["norm"]["bias"]
    np.testing.assert_allclose(
        output[0, 0, 1], normed @ params["reduction"]["kernel"], rtol=1e-4, atol=1e-5
    )


def test_drop_path_leaves_out_whole_branches_of_an_image(make_variables):
    x = draw(64, 2, 2, 4)
    block = SwinBlock(num_heads=1, window=2, drop_path=0.5)
    variables = make_variables(block, x)
    evaluated = block.apply(variables, x)
    dropped = block.apply(variables, x, train=True, rngs={"dropout": jax.random.key(0)})
    untouched = np.asarray((dropped == x).all((1, 2, 3)))
    assert 4 <= untouched.sum() <= 30  # a quarter of 64: both branches are drawn on their own
    assert not np.isclose(dropped, evaluated).all((1, 2, 3)).any()  # kept branches are doubled
    never = block.clone(drop_path=0.0).apply(variables, x, train=True)
    np.testing.assert_array_equal(never, evaluated)


def test_drop_path_rises_from_nothing_to_the_last_block(monkeypatch):
    rates = []

    def record(self, x):
        rates.append(self.rate)
        return x

    monkeypatch.setattr(nn.Dropout, "__call__", record)
    model = Swin(**TINY, drop_path=0.5)
    jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGES, train=True))
    # Both branches of each block.
    np.testing.assert_allclose(rates, np.repeat([0, 0.1, 0.2, 0.3, 0.4, 0.5], 2))


def test_blocks_that_are_alike_are_traced_once(monkeypatch):
    shifts = []
    make_bias = WindowAttention._relative_bias

    def record(self):
        shifts.append(self.shift)
        return make_bias(self)

    monkeypatch.setattr(WindowAttention, "_relative_bias", record)
    # Of a width that no other test has traced already.
    model = Swin(**TINY | {"embed_dim": 12, "depths": (2, 2, 6, 2)}, drop_path=0.5)
    jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    assert shifts == [0, 1] * 4


def test_bfloat16_stays_near(make_variables):
    model = Swin(**TINY)
    variables = make_variables(model, IMAGES)
    full = jax.jit(model.apply)(variables, IMAGES)[32]
    low = jax.jit(model.clone(dtype=jnp.bfloat16).apply)(variables, IMAGES)[32]
    assert low.dtype == jnp.float32
    assert 1e-4 < jnp.abs(low - full).mean() / full.std() < 0.1


def test_start_values():
    block = SwinBlock(num_heads=4, window=3).init(jax.random.key(0), draw(1, 3, 3, 64))["params"]
    table = block["attention"]["relative_position_bias_table"]
    assert 0.015 < table.std() < 0.025
    for name, fan_in in [("linear1", 64), ("linear2", 256)]:
        for leaf in block[name].values():
            assert 0.8 / np.sqrt(fan_in) < jnp.abs(leaf).max() <= 1 / np.sqrt(fan_in)
