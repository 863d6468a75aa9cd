import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.config import (
    FPNConfig,
    MaskFormerDecoderConfig,
    ModelConfig,
    ResNetConfig,
)
from maskformer_jax.models.build import build_model

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 37, 50, 3), dtype=np.uint8)


def tiny(head: str) -> ModelConfig:
    return ModelConfig(
        head=head,
        backbone=ResNetConfig(depth=18, width=4),
        pixel_decoder=FPNConfig(conv_dim=32, mask_dim=16),
        transformer_decoder=MaskFormerDecoderConfig(
            num_queries=9, num_layers=3, hidden_dim=16, num_heads=2, ffn_dim=8
        ),
        size_divisibility=0,
    )


def test_the_baseline_is_linear_in_the_mask_features(make_variables):
    model = build_model(tiny("per_pixel"), num_classes=5)
    variables = make_variables(model, IMAGES)
    assert variables["params"].keys() == {"backbone", "pixel_decoder", "predictor"}
    predictions, state = model.apply(
        variables,
        IMAGES,
        capture_intermediates=lambda module, _: module.path == ("pixel_decoder",),
        mutable=["intermediates"],
    )
    assert predictions.class_logits is None
    assert predictions.mask_logits.shape == (1, 2, 5, 10, 13)
    features = state["intermediates"]["pixel_decoder"]["__call__"][0].mask_features
    predictor = jax.device_get(variables["params"]["predictor"])
    expected = np.asarray(features) @ predictor["kernel"][0, 0] + predictor["bias"]
    np.testing.assert_allclose(
        predictions.mask_logits[0].transpose(0, 2, 3, 1), expected, rtol=1e-5, atol=1e-5
    )


def test_the_plus_baseline_has_a_query_for_each_class_and_no_classes():
    model = build_model(tiny("per_pixel_plus"), num_classes=5)
    predictions, variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), jnp.asarray(IMAGES)
    )
    assert predictions.class_logits is None
    assert predictions.mask_logits.shape == (3, 2, 5, 10, 13)
    assert "class_embed" not in variables["params"]["transformer_decoder"]
