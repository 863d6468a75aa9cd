from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.compiler_options import inference_options
from maskformer_jax.parts.backbones.resnet.model import BLOCKS, ResNet

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(2, 37, 50, 3)), jnp.float32)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_strides_and_widths(depth):
    model = ResNet(depth=depth, width=4)
    features, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)
    expansion = 1 if depth < 50 else 4
    assert sorted(features) == [4, 8, 16, 32]
    for i, (stride, x) in enumerate(sorted(features.items())):
        assert x.shape == (2, -(-37 // stride), -(-50 // stride), 4 * 2**i * expansion)
        blocks = [key for key in variables["params"] if key.startswith(f"res{i + 2}_")]
        assert len(blocks) == BLOCKS[depth][i]


@pytest.mark.parametrize(
    ("depth", "count"),
    # Published counts of the classifiers, less 1000 * (C5 + 1) of their last layer. They count
    # two tensors of each batch norm, which are constants here.
    [(18, 11_689_512 - 513_000), (50, 25_557_032 - 2_049_000), (101, 44_549_160 - 2_049_000)],
)
def test_parameter_counts_of_the_published_classifiers(depth, count):
    shapes = jax.eval_shape(ResNet(depth=depth).init, jax.random.key(0), IMAGES)
    constants = jax.tree_util.tree_leaves_with_path(shapes["constants"])
    affine = sum(x.size for path, x in constants if path[-1].key in ("weight", "bias"))
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) + affine == count


def test_caffe_strides_differ_from_torchvision_strides(make_variables):
    model = ResNet(depth=50, width=4)
    variables = make_variables(model, IMAGES)
    caffe = model.clone(stride_in_1x1=True)
    ours, theirs = (jax.jit(m.apply)(variables, IMAGES) for m in (model, caffe))
    np.testing.assert_allclose(ours[4], theirs[4], atol=1e-5)  # its stride is 1
    for level in (8, 16, 32):
        assert ours[level].shape == theirs[level].shape
        assert np.abs(ours[level] - theirs[level]).max() > 0.1 * ours[level].std()


@pytest.fixture(scope="module")
def shallow_variables(make_variables):
    return make_variables(ResNet(depth=18, width=4), IMAGES)


@pytest.mark.parametrize("freeze_at", [0, 1, 2, 5])
def test_freeze_at_stops_the_gradient_below(shallow_variables, freeze_at):
    model = ResNet(depth=18, width=4, freeze_at=freeze_at)

    def loss(params):
        features = model.apply({**shallow_variables, "params": params}, IMAGES)
        return sum(jnp.sum(x) for x in features.values())

    # In the graph of the gradient, a frozen parameter's is a constant: nothing need be computed.
    graph = jax.make_jaxpr(jax.grad(loss))(shallow_variables["params"])
    computed = {id(var) for equation in graph.eqns for var in equation.outvars}
    zeros = {
        id(equation.outvars[0])
        for equation in graph.eqns
        if equation.primitive.name == "broadcast_in_dim" and not equation.invars[0].aval.shape
    }
    names = [path[0].key for path, _ in jax.tree.leaves_with_path(shallow_variables["params"])]
    for name, var in zip(names, graph.jaxpr.outvars, strict=True):
        stage = 1 if name == "stem" else int(name[3])
        has_gradient = id(var) in computed and id(var) not in zeros
        assert has_gradient == (stage > freeze_at), name


def test_basic_blocks_and_bfloat16(shallow_variables):
    """Depth 18 runs; its strides have no 1x1 to move to; bfloat16 stays near float32."""
    model = ResNet(depth=18, width=4)

    @jax.jit
    def run(variables):
        moved = model.clone(stride_in_1x1=True)
        low = model.clone(dtype=jnp.bfloat16)
        return [m.apply(variables, IMAGES)[32] for m in (model, moved, low)]

    full, moved, low = run(shallow_variables)
    np.testing.assert_array_equal(full, moved)
    assert low.dtype == jnp.bfloat16
    error = np.abs(low.astype(jnp.float32) - full).mean() / full.std()
    assert 1e-4 < error < 0.05


def test_variables_are_float32_under_bfloat16():
    low = ResNet(depth=18, width=4, dtype=jnp.bfloat16)
    shapes = jax.eval_shape(low.init, jax.random.key(0), IMAGES)
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}


def test_deeplab_stem_doubles_its_width(make_variables):
    model = ResNet(depth=50, width=4, stem="deeplab", res5_dilations=(1, 2, 4))
    variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    stem = variables["params"]["stem"]
    shapes = [stem[f"conv{i}"]["conv"]["kernel"].shape for i in (1, 2, 3)]
    assert shapes == [(3, 3, 3, 4), (3, 3, 4, 4), (3, 3, 4, 8)]
    assert variables["params"]["res2_0"]["conv1"]["conv"]["kernel"].shape == (1, 1, 8, 4)


def test_dilations_widen_the_view_of_res5_and_keep_its_size(make_variables):
    model = ResNet(depth=50, width=4)
    variables = make_variables(model, IMAGES)
    plain = jax.jit(model.apply)(variables, IMAGES)
    dilated = jax.jit(model.clone(res5_dilations=(1, 2, 4)).apply)(variables, IMAGES)
    np.testing.assert_array_equal(plain[16], dilated[16])
    assert plain[32].shape == dilated[32].shape
    assert jnp.abs(plain[32] - dilated[32]).max() > 1e-2


@pytest.mark.parametrize("depth", [18, 50])
def test_inference_on_a_cpu_adds_up_each_block_once(depth: int) -> None:
    """No block's sum is computed again inside of the next one's."""
    model = ResNet(depth=depth, width=8)
    images = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def most_rectified(options: dict[str, Any]) -> int:
        lowered = jax.jit(model.apply, compiler_options=options).lower(variables, images)
        parts = lowered.compile().as_text().split("\n}")
        return max(part.count(" maximum(") for part in parts if "%fused" in part)

    assert most_rectified(inference_options(jax.devices("cpu")[0])) == 1
    assert most_rectified({}) > 1
