"""Images of different sizes in one batch: each has the predictions that it has alone."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_as_users_do import FUSED_AS_USERS_DO

from maskformer_jax.config import (
    FPNConfig,
    MaskFormerDecoderConfig,
    ModelConfig,
    ResNetConfig,
    SwinConfig,
    TransformerFPNConfig,
)
from maskformer_jax.models.build import build_model, inference_model
from maskformer_jax.types import Predictions

TOLERANCE = 1e-5  # of the largest logit
NUM_CLASSES = 4
HEADS = ("mask_classification", "per_pixel", "mask_classification", "per_pixel_plus")


class Model(NamedTuple):
    module: Any
    variables: Any
    images: np.ndarray  # [3, H, W, 3]; noise outside of the extents, too
    extents: np.ndarray


def random_config(seed: int) -> tuple[ModelConfig, np.random.Generator]:
    """Small models of all kinds; 1, 2 and 3 have every kind of part and head."""
    random = np.random.default_rng(seed)

    def draw(*values: Any) -> Any:
        return values[random.integers(len(values))]

    decoder = MaskFormerDecoderConfig(
        num_queries=5,
        num_layers=draw(1, 2),
        hidden_dim=16,
        num_heads=2,
        ffn_dim=16,
        dropout=0.0,
        pre_norm=draw(False, True),
        enforce_input_proj=draw(False, True),
    )
    backbones = (
        lambda: ResNetConfig(depth=18, width=draw(8, 32), stem=draw("basic", "deeplab")),
        lambda: ResNetConfig(
            depth=50,
            width=32,
            norm="group_norm",
            stride_in_1x1=draw(False, True),
            res5_dilations=draw((1, 1, 1), (1, 2, 4)),
        ),
        lambda: SwinConfig(
            embed_dim=8,
            depths=(1, 2, 2, 1),
            num_heads=(1, 2, 2, 4),
            window=draw(2, 3, 5),
            drop_path=0.0,
        ),
    )
    config = ModelConfig(
        head=("mask_classification", "per_pixel", "mask_classification", "per_pixel_plus")[
            seed % 4
        ],
        backbone=backbones[seed % 3](),
        pixel_decoder=FPNConfig(conv_dim=32, mask_dim=8),
        transformer_decoder=decoder,
        size_divisibility=draw(0, 0, 32),
    )
    if seed % 2:
        config.pixel_decoder = TransformerFPNConfig(
            conv_dim=32, mask_dim=8, num_layers=1, num_heads=4, ffn_dim=16, dropout=0.0
        )
    return config, random


def make_model(seed: int, make_variables: Any) -> Model:
    config, random = random_config(seed)
    module = build_model(config, num_classes=NUM_CLASSES)
    size = random.integers(60, 110, 2)
    extents = random.integers(20, size + 1, (3, 2)).astype(np.int32)
    extents[1] = size  # one fills the batch
    images = random.integers(0, 256, (3, *size, 3)).astype(np.uint8)
    blank = np.zeros((1, 64, 64, 3), np.uint8)
    return Model(module, make_variables(module, blank, seed=seed), images, extents)


def compiled(model: Model) -> Any:
    return jax.jit(model.module.apply, compiler_options=FUSED_AS_USERS_DO)


def predict(model: Model, images: np.ndarray, extents: np.ndarray) -> Predictions:
    return compiled(model)(model.variables, images, extent=jnp.asarray(extents))


def relative_errors(
    model: Model, index: int, judge: Predictions, *, of: Predictions
) -> Iterator[float]:
    """The largest difference of one image's logits from those it has alone, for each output."""
    for ours, expected in zip(of, judge, strict=True):
        if expected is None:
            continue
        expected, ours = np.asarray(expected[:, 0]), np.asarray(ours[:, index])
        if ours.ndim == 4:
            ours = ours[..., : expected.shape[-2], : expected.shape[-1]]
        largest = np.abs(expected).max()
        assert expected.std() > 0.01 * largest  # of use as a test
        yield np.abs(ours - expected).max() / largest


def predict_alone(model: Model, index: int) -> Predictions:
    height, width = model.extents[index]
    image = model.images[index : index + 1, :height, :width]
    return compiled(model)(model.variables, image)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_logits_are_those_of_the_image_alone(make_variables, seed):
    model = make_model(seed, make_variables)
    together = predict(model, model.images, model.extents)
    assert max(relative_errors(model, 0, predict_alone(model, 0), of=together)) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_logits_of_many_models_in_float64(make_variables, seed):
    """A mistake stands out here; position encodings stay float32, hence not 1e-12 for all."""
    model = make_model(seed, make_variables)
    with jax.enable_x64(True):
        wide = model._replace(
            module=build_model(
                dataclasses.replace(random_config(seed)[0], compute_dtype="float64"),
                num_classes=NUM_CLASSES,
            ),
            variables=jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), model.variables),
        )
        together = predict(wide, model.images, model.extents)
        alone = [predict_alone(wide, i) for i in range(3)]
    for i in range(3):
        assert max(relative_errors(model, i, alone[i], of=together)) <= 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_logits_of_many_models(make_variables, seed):
    model = make_model(seed, make_variables)
    together = predict(model, model.images, model.extents)
    for i in range(3):
        alone = predict_alone(model, i)
        assert max(relative_errors(model, i, alone, of=together)) <= TOLERANCE


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_nothing_outside_of_the_extent_matters(make_variables, seed):
    """Neither what the batch holds there nor the other images change a bit."""
    model = make_model(seed, make_variables)
    other = model._replace(images=model.images.copy())
    height, width = model.extents[0]
    other.images[0, height:], other.images[0, :, width:] = 255, 0
    other.images[1:] = 255 - other.images[1:]
    first = predict(model, model.images, model.extents)
    extents = model.extents.copy()
    extents[2] = 1
    second = predict(other, other.images, extents)
    assert (np.asarray(first.mask_logits[:, 1]) != np.asarray(second.mask_logits[:, 1])).any()
    rows, columns = (-(-side // 4) for side in (height, width))
    np.testing.assert_array_equal(
        first.mask_logits[:, 0, :, :rows, :columns], second.mask_logits[:, 0, :, :rows, :columns]
    )
    if first.class_logits is not None:
        np.testing.assert_array_equal(first.class_logits[:, 0], second.class_logits[:, 0])


def test_inference_has_the_last_layer_alone(make_variables):
    model = make_model(2, make_variables)
    assert model.module.transformer_decoder.num_layers > 1
    alone = model._replace(module=inference_model(model.module))
    every = predict(model, model.images, model.extents)
    last = predict(alone, alone.images, alone.extents)
    assert (len(last.mask_logits), len(every.mask_logits)) == (1, 2)
    np.testing.assert_allclose(last.mask_logits[0], every.mask_logits[-1], rtol=1e-4, atol=1e-4)
