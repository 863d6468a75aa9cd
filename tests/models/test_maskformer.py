import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import (
    ModelConfig,
    PixelDecoderConfig,
    ResNetConfig,
    TransformerDecoderConfig,
)
from maskformer_jax.errors import UserError
from maskformer_jax.models.build import build_model
from maskformer_jax.resize import padded_size

RNG = np.random.default_rng(0)


def tiny(**changes) -> ModelConfig:
    config = ModelConfig(
        backbone=ResNetConfig(depth=18, width=4),
        pixel_decoder=PixelDecoderConfig(conv_dim=32, mask_dim=8),
        transformer_decoder=TransformerDecoderConfig(
            num_queries=5, num_layers=2, hidden_dim=16, num_heads=2, ffn_dim=24, dropout=0.0
        ),
    )
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def draw_images(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return build_model(tiny(), num_classes=3)


@pytest.fixture(scope="module")
def variables(model, make_variables):
    return make_variables(model, draw_images(1, 32, 32))


@pytest.fixture(scope="module")
def apply(model):
    return jax.jit(model.apply)


def assert_same(one, other, atol=1e-4):
    np.testing.assert_allclose(one.class_logits, other.class_logits, atol=atol)
    np.testing.assert_allclose(one.mask_logits, other.mask_logits, atol=atol)


def test_masks_have_a_quarter_of_the_padded_size(apply, variables):
    predictions = apply(variables, draw_images(2, 37, 64))
    assert predictions.class_logits.shape == (2, 2, 5, 4)
    assert predictions.mask_logits.shape == (2, 2, 5, 16, 16)


def test_without_divisibility_sizes_round_up(model, variables):
    predictions = model.clone(size_divisibility=0).apply(variables, draw_images(1, 37, 50))
    assert predictions.mask_logits.shape == (2, 1, 5, 10, 13)


def test_a_batch_equals_its_items(apply, variables):
    images = draw_images(3, 40, 48)
    together = apply(variables, images)
    for i in range(3):
        alone = apply(variables, images[i : i + 1])
        item = jax.tree.map(lambda x, i=i: x[:, i : i + 1], together)
        assert_same(item, alone)


def test_uint8_and_float_images_are_the_same(apply, variables):
    images = draw_images(1, 32, 64)
    assert_same(apply(variables, images), apply(variables, images.astype(np.float32)), atol=0)


def test_padding_is_the_mean_colour(apply, variables):
    images = draw_images(1, 37, 50)
    height, width = padded_size((37, 50), 32)
    by_hand = np.tile(np.float32(ModelConfig().pixel_mean), (1, height, width, 1))
    by_hand[:, :37, :50] = images
    assert_same(apply(variables, images), apply(variables, by_hand))


def test_pixels_outside_image_valid_do_not_matter(apply, variables):
    images = draw_images(2, 64, 64)
    valid = np.zeros((2, 64, 64), bool)
    valid[0, :37, :50] = valid[1, :, :] = True
    padded = apply(variables, images, valid)
    alone = apply(variables, images[:1, :37, :50])
    assert_same(jax.tree.map(lambda x: x[:, :1], padded), alone)
    full = apply(variables, images[1:])
    assert_same(jax.tree.map(lambda x: x[:, 1:], padded), full)


def test_normalisation_uses_mean_and_std_per_channel(model, variables):
    images = draw_images(1, 32, 32).astype(np.float32)
    plain = model.clone(pixel_mean=(0.0, 0.0, 0.0), pixel_std=(1.0, 1.0, 1.0))
    config = ModelConfig()
    normal = (images - np.float32(config.pixel_mean)) / np.float32(config.pixel_std)
    assert_same(model.apply(variables, images), plain.apply(variables, normal))


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


def test_parts_work_alone(model, variables):
    images = draw_images(1, 32, 64)
    part = {
        name: {kind: tree[name] for kind, tree in variables.items() if name in tree}
        for name in ("backbone", "pixel_decoder", "transformer_decoder")
    }
    config = ModelConfig()
    x = (images - np.float32(config.pixel_mean)) / np.float32(config.pixel_std)
    features = model.backbone.clone(parent=None).apply(part["backbone"], x)
    decoded = model.pixel_decoder.clone(parent=None).apply(part["pixel_decoder"], features)
    predictions = model.transformer_decoder.clone(parent=None).apply(
        part["transformer_decoder"], decoded.context, decoded.mask_features
    )
    assert_same(predictions, model.apply(variables, images))


def test_bfloat16_keeps_float32_variables_and_predictions(variables):
    model = build_model(tiny(compute_dtype="bfloat16"), num_classes=3)
    images = draw_images(1, 32, 32)
    own = jax.eval_shape(model.init, jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(own)} == {jnp.dtype(jnp.float32)}
    predictions = model.apply(variables, images)
    assert predictions.class_logits.dtype == predictions.mask_logits.dtype == jnp.float32
    full = build_model(tiny(), num_classes=3).apply(variables, images)
    error = np.abs(predictions.mask_logits - full.mask_logits).mean() / full.mask_logits.std()
    assert 1e-4 < error < 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_parameter_gets_a_finite_gradient(variables, dtype):
    model = build_model(tiny(compute_dtype=dtype), num_classes=3)
    images = draw_images(1, 32, 32)

    @jax.jit
    def grad(params):
        def loss(params):
            predictions = model.apply({**variables, "params": params}, images, train=True)
            return sum(jnp.sum(jnp.sin(x)) for x in predictions)

        return jax.grad(loss)(params)

    for path, leaf in jax.tree_util.tree_leaves_with_path(grad(variables["params"])):
        name = jax.tree_util.keystr(path)
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
