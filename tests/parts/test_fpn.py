import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.parts.pixel_decoders.fpn.model import FPNPixelDecoder

RNG = np.random.default_rng(0)
SIZES = {4: (9, 13), 8: (5, 7), 16: (3, 4), 32: (2, 2)}  # no exact doubles
FEATURES = {
    name: jnp.asarray(RNG.normal(size=(2, *size, 6)), jnp.float32) for name, size in SIZES.items()
}


def group_normalize(x, norm):
    groups = x.reshape(*x.shape[:3], 32, -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    variance = groups.var((1, 2, 4), keepdims=True)
    y = ((groups - mean) / jnp.sqrt(variance + 1e-5)).reshape(x.shape)
    return y * norm["scale"][None, None, None] + norm["bias"][None, None, None]


def convolve(x, kernel):
    margin = kernel.shape[0] // 2
    padding = ((margin, margin), (margin, margin))
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_follows_the_published_flow(make_variables):
    decoder = FPNPixelDecoder(conv_dim=64, mask_dim=5)
    variables = make_variables(decoder, FEATURES)
    output = jax.jit(decoder.apply)(variables, FEATURES)
    expected = jax.jit(published_flow)(variables["params"])
    np.testing.assert_allclose(output.mask_features, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(output.features[32], FEATURES[32])


def published_flow(params):
    def block(name, x):
        return group_normalize(convolve(x, params[name]["conv"]["kernel"]), params[name]["norm"])

    y = jax.nn.relu(block("layer_4", FEATURES[32]))
    for i, level in ((3, 16), (2, 8), (1, 4)):
        lateral = block(f"adapter_{i}", FEATURES[level])
        height, width = SIZES[level]
        rows = np.arange(height) * y.shape[1] // height
        columns = np.arange(width) * y.shape[2] // width
        y = jax.nn.relu(block(f"layer_{i}", lateral + y[:, rows][:, :, columns]))
    last = params["mask_features"]
    return convolve(y, last["kernel"]) + last["bias"][None, None, None]


def test_convolutions_before_norms_have_no_bias():
    shapes = jax.eval_shape(FPNPixelDecoder(64, 5).init, jax.random.key(0), FEATURES)["params"]
    names = {f"adapter_{i}" for i in (1, 2, 3)} | {f"layer_{i}" for i in (1, 2, 3, 4)}
    assert shapes.keys() == names | {"mask_features"}
    for name in names:
        assert shapes[name]["conv"].keys() == {"kernel"}
    assert shapes["mask_features"].keys() == {"kernel", "bias"}
