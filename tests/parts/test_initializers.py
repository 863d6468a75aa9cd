import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.parts import initializers
from maskformer_jax.parts.transformer_decoders.maskformer.model import TransformerDecoder

KEY = jax.random.key(0)


def assert_uniform(x: jax.Array, bound: float) -> None:
    """The extremes of n draws lie within a few 1/n of the bounds, the std is bound / sqrt(3)."""
    x = np.asarray(x, np.float64)
    slack = 1 - 20 / x.size
    assert slack * bound < x.max() <= bound * (1 + 1e-6)
    assert slack * bound < -x.min() <= bound * (1 + 1e-6)
    np.testing.assert_allclose(x.std(), bound / np.sqrt(3), rtol=0.1 if x.size < 5000 else 0.03)


def test_msra_fill_is_normal_over_fan_out():
    x = initializers.msra_fill(KEY, (3, 3, 32, 128))
    np.testing.assert_allclose(x.std(), np.sqrt(2 / (9 * 128)), rtol=0.02)
    assert np.abs(x).max() > 3 * x.std()  # not cut off


def test_xavier_fill_is_uniform_over_fan_in():
    assert_uniform(initializers.xavier_fill(KEY, (3, 3, 64, 32)), np.sqrt(3 / (9 * 64)))


def test_packed_part_has_the_bound_of_the_whole():
    x = initializers.packed_glorot_uniform()(KEY, (256, 256), jnp.float32)
    assert_uniform(x, np.sqrt(6 / (256 + 768)))
    alone = initializers.packed_glorot_uniform(1)(KEY, (256, 256), jnp.float32)
    assert_uniform(alone, np.sqrt(6 / 512))


@pytest.fixture(scope="module")
def decoder_params():
    decoder = TransformerDecoder(num_classes=150, num_layers=2)
    init = jax.jit(decoder.init)
    return init(KEY, {32: jnp.zeros((1, 1, 1, 512))}, jnp.zeros((1, 2, 2, 256)))["params"]


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        ("layer_0/self_attention/query/kernel", np.sqrt(6 / 1024)),
        ("layer_1/cross_attention/value/kernel", np.sqrt(6 / 1024)),
        ("layer_1/cross_attention/out/kernel", np.sqrt(6 / 512)),
        ("layer_1/ffn/linear1/kernel", np.sqrt(6 / 2304)),
        ("layer_1/ffn/linear2/kernel", np.sqrt(6 / 2304)),
        ("layer_1/ffn/linear1/bias", 0.0625),
        ("layer_1/ffn/linear2/bias", 1 / np.sqrt(2048)),
        ("class_embed/kernel", 0.0625),
        ("class_embed/bias", 0.0625),
        ("mask_embed/layer_0/kernel", 0.0625),
        ("mask_embed/layer_2/bias", 0.0625),
        ("input_proj/kernel", np.sqrt(3 / 512)),
    ],
)
def test_transformer_decoder_starts_as_published(decoder_params, path, bound):
    leaf = decoder_params
    for key in path.split("/"):
        leaf = leaf[key]
    assert_uniform(leaf, bound)


def test_queries_start_standard_normal(decoder_params):
    queries = np.asarray(decoder_params["query_embed"])
    assert abs(queries.mean()) < 0.03
    np.testing.assert_allclose(queries.std(), 1, rtol=0.03)


def test_attention_biases_start_at_zero_and_norms_at_one(decoder_params):
    layer = decoder_params["layer_1"]
    for role in ("query", "key", "value", "out"):
        assert not np.any(layer["self_attention"][role]["bias"])
    np.testing.assert_array_equal(layer["norm3"]["scale"], 1)
    np.testing.assert_array_equal(decoder_params["norm"]["bias"], 0)


def test_layers_start_with_the_same_biases_but_other_matrices(decoder_params):
    first, other = decoder_params["layer_0"]["ffn"], decoder_params["layer_1"]["ffn"]
    for name in ("linear1", "linear2"):
        np.testing.assert_array_equal(first[name]["bias"], other[name]["bias"])
        assert np.abs(first[name]["kernel"] - other[name]["kernel"]).max() > 0.01
    # The two biases of a layer are draws of their own.
    ratio = first["linear1"]["bias"][:256] / 0.0625 - first["linear2"]["bias"] / 0.0221
    assert np.abs(ratio).max() > 0.1
