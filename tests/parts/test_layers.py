import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from maskformer_jax.parts.backbones.resnet.frozen_batch_norm import FrozenBatchNorm
from maskformer_jax.parts.initializers import msra_fill
from maskformer_jax.parts.layers import MLP, conv, layer_norm

RNG = np.random.default_rng(0)


def test_frozen_batch_norm_uses_its_four_constants():
    x = jnp.asarray(RNG.normal(size=(2, 3, 4, 5)), jnp.float32)
    constants = {
        "weight": np.float32([1, 2, 3, 4, 5]),
        "bias": np.float32([0, 1, 0, -1, 0]),
        "running_mean": np.float32([0.5, 0, -1, 2, 1]),
        "running_var": np.float32([1, 4, 0.25, 1e-5, 9]),
    }
    actual = FrozenBatchNorm().apply({"constants": constants}, x)
    normal = (np.asarray(x) - constants["running_mean"]) / np.sqrt(constants["running_var"] + 1e-5)
    expected = normal * constants["weight"] + constants["bias"]
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-5)


def test_frozen_batch_norm_starts_as_the_identity_without_parameters():
    x = jnp.asarray(RNG.normal(size=(1, 2, 2, 3)), jnp.float32)
    y, variables = FrozenBatchNorm().init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, x, rtol=1e-6)
    assert variables.keys() == {"constants"}


@pytest.mark.parametrize(("kernel_size", "stride"), [(3, 2), (7, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("size", [8, 9])
def test_conv_pads_all_sides_alike(kernel_size, stride, size):
    x = jnp.asarray(RNG.normal(size=(1, size, size, 2)), jnp.float32)
    layer = conv(3, kernel_size, stride=stride, kernel_init=msra_fill)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    assert y.shape[1] == -(-size // stride)
    margin = kernel_size // 2
    padded = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    kernel = variables["params"]["kernel"]
    direct = np.zeros(y.shape[1:], np.float32)
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            top, left = i * stride, j * stride
            patch = padded[0, top : top + kernel_size, left : left + kernel_size]
            direct[i, j] = np.einsum("hwc,hwco->o", patch, kernel)
    np.testing.assert_allclose(y[0], direct, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stride", "products"), [(1, ("cpu", "cuda", "tpu")), (2, ("cpu", "tpu"))])
def test_on_a_gpu_a_strided_1x1_convolution_is_no_product(stride, products):
    layer = conv(3, 1, stride=stride, kernel_init=msra_fill)
    variables = {"params": {"kernel": jnp.ones((1, 1, 2, 3))}}
    traced = jax.jit(layer.apply).trace(variables, jnp.ones((1, 8, 8, 2)))
    for platform in ("cpu", "cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert ("dot_general" in text) == (platform in products)
        assert ("stablehlo.convolution" in text) == (platform not in products)


def test_the_strided_convolution_of_a_gpu_has_the_values_of_the_product(monkeypatch):
    layer = conv(3, 1, stride=2, kernel_init=msra_fill)
    x = jnp.asarray(RNG.normal(size=(2, 7, 8, 5)), jnp.float32)
    variables = layer.init(jax.random.key(0), x)

    def loss(variables, x):
        return jnp.sin(layer.apply(variables, x)).sum()

    of_product = jax.value_and_grad(loss, argnums=(0, 1))(variables, x)
    monkeypatch.setattr(lax, "platform_dependent", lambda *args, default, **_: default(*args))
    of_convolution = jax.value_and_grad(loss, argnums=(0, 1))(variables, x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        of_product,
        of_convolution,
    )


def test_layer_norm_has_the_published_epsilon():
    # For values of +-1e-3 the variance 1e-6 is small beside 1e-5: 1 / sqrt(11) shows epsilon.
    expected = 1 / np.sqrt(11)
    x = jnp.asarray([[1e-3, -1e-3]])
    y, _ = layer_norm("norm").init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y, [[expected, -expected]], rtol=1e-5)


def test_mlp_has_relu_only_between_its_layers():
    x = jnp.asarray(RNG.normal(size=(7, 4)), jnp.float32)
    y, variables = MLP((5, 3)).init_with_output(jax.random.key(0), x)
    params = variables["params"]
    hidden = x @ params["layer_0"]["kernel"] + params["layer_0"]["bias"][None]
    expected = lax.max(hidden, jnp.zeros_like(hidden)) @ params["layer_1"]["kernel"]
    np.testing.assert_allclose(y, expected + params["layer_1"]["bias"][None], rtol=1e-5, atol=1e-6)
    assert (y < 0).any()
