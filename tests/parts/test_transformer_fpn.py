import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import FPNConfig, TransformerFPNConfig
from maskformer_jax.models.build import build_pixel_decoder
from maskformer_jax.parts.pixel_decoders.transformer_fpn.model import TransformerEncoder

RNG = np.random.default_rng(0)
FEATURE = jnp.asarray(RNG.normal(size=(2, 3, 4, 6)), jnp.float32)
ENCODER = TransformerEncoder(num_layers=2, hidden_dim=32, num_heads=2, ffn_dim=8)


def test_shape_and_names(make_variables):
    variables = make_variables(ENCODER, FEATURE)
    assert ENCODER.apply(variables, FEATURE).shape == (2, 3, 4, 32)
    assert variables["params"].keys() == {"input_proj", "layer_0", "layer_1"}
    pre_norm = jax.eval_shape(ENCODER.clone(pre_norm=True).init, jax.random.key(0), FEATURE)
    assert pre_norm["params"].keys() == {"input_proj", "layer_0", "layer_1", "norm"}


def test_every_place_sees_every_other_and_its_own_position(make_variables):
    variables = make_variables(ENCODER, FEATURE)
    before = ENCODER.apply(variables, FEATURE)
    after = ENCODER.apply(variables, FEATURE.at[0, 2, 3].add(1.0))
    assert jnp.abs(after - before)[0].max(-1).min() > 1e-5
    np.testing.assert_array_equal(after[1], before[1])
    flipped = ENCODER.apply(variables, FEATURE[:, ::-1])[:, ::-1]
    assert jnp.abs(flipped - before).max() > 1e-3


def test_dropout_acts_in_training_alone(make_variables):
    encoder = ENCODER.clone(dropout=0.5)
    variables = make_variables(encoder, FEATURE)
    still = encoder.apply(variables, FEATURE)
    np.testing.assert_array_equal(still, ENCODER.apply(variables, FEATURE))
    key = jax.random.key(0)
    assert (
        jnp.abs(encoder.apply(variables, FEATURE, train=True, rngs={"dropout": key}) - still).max()
        > 1e-3
    )


@pytest.mark.parametrize("kind", ["fpn", "transformer_fpn"])
def test_what_the_pixel_decoder_hands_on_is_the_encoders_output(make_variables, kind):
    config = FPNConfig(conv_dim=32, mask_dim=5)
    if kind == "transformer_fpn":
        config = TransformerFPNConfig(conv_dim=32, mask_dim=5, num_layers=1, num_heads=2, ffn_dim=8)
    features = {
        2**i: jnp.asarray(RNG.normal(size=(1, 2 ** (5 - i), 2 ** (5 - i), 6)), jnp.float32)
        for i in (2, 3, 4, 5)
    }
    decoder = build_pixel_decoder(config)
    variables = make_variables(decoder, features)
    output = decoder.apply(variables, features)
    assert output.mask_features.shape == (1, 8, 8, 5)
    if kind == "fpn":
        np.testing.assert_array_equal(output.features[32], features[32])
    else:
        encoder = {"params": variables["params"]["encoder"]}
        expected = decoder.encoder.clone(parent=None).apply(encoder, features[32])
        np.testing.assert_allclose(output.features[32], expected, rtol=1e-5, atol=1e-5)
