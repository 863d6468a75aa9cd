import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.config import (
    FPNConfig,
    MaskFormerDecoderConfig,
    ModelConfig,
    ResNetConfig,
)
from maskformer_jax.errors import UserError
from maskformer_jax.models.build import (
    build_backbone,
    build_model,
    build_pixel_decoder,
    build_transformer_decoder,
)
from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.parts.pixel_decoders.fpn.model import PixelDecoderOutput
from maskformer_jax.types import Predictions

RNG = np.random.default_rng(0)


def tiny(**changes) -> ModelConfig:
    config = ModelConfig(
        backbone=ResNetConfig(depth=18, width=4),
        pixel_decoder=FPNConfig(conv_dim=32, mask_dim=8),
        transformer_decoder=MaskFormerDecoderConfig(
            num_queries=5, num_layers=2, hidden_dim=16, num_heads=2, ffn_dim=24, dropout=0.0
        ),
    )
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def draw_images(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


class Echo(nn.Module):
    """Stands in for each part of a model and returns the backbone's input unchanged."""

    def __call__(self, *args, train=False):
        if len(args) == 2:
            return Predictions(class_logits=None, mask_logits=args[1])
        x = args[0]
        return x if isinstance(x, PixelDecoderOutput) else PixelDecoderOutput(x, x)


def preprocess(images, image_valid=None, **settings):
    model = MaskFormer(
        backbone=Echo(), pixel_decoder=Echo(), transformer_decoder=Echo(), **settings
    )
    return np.asarray(model.apply({}, images, image_valid).mask_logits)


MEAN, STD = np.float32(ModelConfig().pixel_mean), np.float32(ModelConfig().pixel_std)


def test_images_are_normalised_then_padded_with_zeros():
    images = draw_images(2, 37, 50)
    x = preprocess(images)
    assert x.shape == (2, 64, 64, 3)
    np.testing.assert_allclose(x[:, :37, :50], (images - MEAN) / STD, atol=1e-6)
    assert not x[:, 37:].any()
    assert not x[:, :, 50:].any()


def test_the_pixels_of_an_image_are_all_that_counts():
    images = draw_images(2, 64, 64)
    valid = np.zeros((2, 64, 64), bool)
    valid[0, :37, :50] = valid[1] = True
    x = preprocess(images, valid)
    np.testing.assert_array_equal(x[:1], preprocess(images[:1, :37, :50]))
    np.testing.assert_array_equal(x[1:], preprocess(images[1:]))


def test_padding_by_hand_is_the_mean_colour():
    images = draw_images(1, 37, 50)
    by_hand = np.tile(MEAN, (1, 64, 64, 1))
    by_hand[:, :37, :50] = images
    np.testing.assert_array_equal(preprocess(by_hand), preprocess(images))


@pytest.mark.parametrize(("divisibility", "size"), [(0, (37, 50)), (1, (37, 50)), (8, (40, 56))])
def test_other_divisibilities(divisibility, size):
    x = preprocess(draw_images(1, 37, 50), size_divisibility=divisibility)
    assert x.shape == (1, *size, 3)


def test_uint8_and_float_images_are_the_same():
    images = draw_images(1, 32, 64)
    np.testing.assert_array_equal(preprocess(images), preprocess(images.astype(np.float32)))


@pytest.fixture(scope="module")
def model():
    return build_model(tiny(), num_classes=3)


@pytest.fixture(scope="module")
def variables(model, make_variables):
    return make_variables(model, IMAGES[:1])


@pytest.fixture(scope="module")
def predictions(model, variables):
    return jax.jit(model.apply)(variables, IMAGES)


IMAGES = draw_images(2, 64, 64)


@pytest.mark.parametrize(
    ("divisibility", "size", "masks"),
    [(32, (37, 64), (16, 16)), (0, (37, 50), (10, 13)), (0, (1, 1), (1, 1))],
)
def test_masks_have_a_quarter_of_the_padded_size(model, divisibility, size, masks):
    model = model.clone(size_divisibility=divisibility)
    shapes, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), draw_images(2, *size))
    assert shapes.class_logits.shape == (2, 2, 5, 4)
    assert shapes.mask_logits.shape == (2, 2, 5, *masks)


def assert_same(one, other):
    np.testing.assert_allclose(one.class_logits, other.class_logits, atol=1e-4)
    np.testing.assert_allclose(one.mask_logits, other.mask_logits, atol=1e-4)


def test_a_batch_equals_its_items(model, variables, predictions):
    apply = jax.jit(model.apply)
    for i in range(2):
        item = jax.tree.map(lambda x, i=i: x[:, i : i + 1], predictions)
        assert_same(item, apply(variables, IMAGES[i : i + 1]))
    assert np.abs(np.diff(predictions.class_logits, axis=1)).max() > 1e-3


def test_variable_tree_keeps_its_promises(variables):
    assert set(variables) == {"params", "constants"}
    assert set(variables["params"]) == {"backbone", "pixel_decoder", "transformer_decoder"}
    assert set(variables["constants"]) == {"backbone"}
    assert variables["params"]["transformer_decoder"]["query_embed"].shape == (5, 16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        keys = [key.key for key in path]
        is_norm = any(re.search("norm", key) for key in keys)
        # Of all layers with two tensors or more, only norms have no matrix.
        assert is_norm == (keys[-1] in ("scale", "weight", "running_mean", "running_var")) or (
            keys[-1] == "bias" and leaf.ndim <= 2
        ), keys


def test_parts_work_alone(variables, predictions):
    config = tiny()
    kinds = ("params", "constants")
    parts = {
        name: {kind: variables[kind][name] for kind in kinds if name in variables[kind]}
        for name in variables["params"]
    }

    @jax.jit
    def run(x):
        features = build_backbone(config.backbone).apply(parts["backbone"], x)
        pixel_decoder = build_pixel_decoder(config.pixel_decoder)
        decoded = pixel_decoder.apply(parts["pixel_decoder"], features)
        transformer_decoder = build_transformer_decoder(
            config.transformer_decoder, num_classes=3, mask_dim=config.pixel_decoder.mask_dim
        )
        return transformer_decoder.apply(
            parts["transformer_decoder"], decoded.features, decoded.mask_features
        )

    assert_same(run((IMAGES - MEAN) / STD), predictions)


def test_bfloat16_keeps_float32_variables_and_predictions(variables, predictions):
    """And its gradients are finite, and none is zero."""
    model = build_model(tiny(compute_dtype="bfloat16"), num_classes=3)
    own = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    assert {x.dtype for x in jax.tree.leaves(own)} == {jnp.dtype(jnp.float32)}

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def run(params):
        low = model.apply({**variables, "params": params}, IMAGES, train=True)
        return sum(jnp.sum(jnp.sin(x)) for x in low), low

    grads, low = run(variables["params"])
    assert low.class_logits.dtype == low.mask_logits.dtype == jnp.float32
    full = predictions.mask_logits
    assert 1e-4 < np.abs(low.mask_logits - full).mean() / full.std() < 0.1
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert leaf.dtype == jnp.float32
        assert np.isfinite(leaf).all(), name
        # The decoder starts from zeros, so its first self-attention sees equal values, and a
        # shift common to all keys cancels in every softmax.
        if "layer_0']['self_attention" not in name and "['key']['bias']" not in name:
            assert np.any(leaf), name


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("backbone", "freeze_at", 6),
        ("pixel_decoder", "conv_dim", 48),
        ("transformer_decoder", "num_queries", 0),
        ("transformer_decoder", "hidden_dim", 18),
        ("transformer_decoder", "dropout", 1.0),
    ],
)
def test_impossible_settings_are_named(part, field, value):
    config = tiny()
    setattr(getattr(config, part), field, value)
    with pytest.raises(UserError, match=rf"model\.{part}\.{field} is {value}"):
        build_model(config, num_classes=3)
