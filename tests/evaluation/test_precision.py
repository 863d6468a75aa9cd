"""The precision in which float32 is multiplied, as the lowered programs have it."""

import re

import jax
import numpy as np
import pytest
from training.toy_training import draw_batch

from maskformer_jax.config import Config, FPNConfig, ResNetConfig, SwinConfig, TransformerFPNConfig
from maskformer_jax.evaluation.inference import make_network
from maskformer_jax.models.build import build_model
from maskformer_jax.precision import precision_of_masks, resolve_precision
from maskformer_jax.training.step import make_loss_function

PRODUCT = re.compile(r"stablehlo\.(dot_general|convolution)(?!.*batch_group_count = [2-9]).*")


def products(text: str) -> list[bool]:
    """Whether each matrix product and convolution of a program has the highest precision."""
    lines = [line for line in text.splitlines() if PRODUCT.search(line)]
    return ["HIGHEST, HIGHEST" in line or "#stablehlo<precision HIGHEST>" in line for line in lines]


def small_config(backbone: ResNetConfig | SwinConfig) -> Config:
    config = Config()
    config.model.backbone = backbone
    pixel_decoder = TransformerFPNConfig(conv_dim=32, mask_dim=8, num_layers=1, num_heads=4)
    config.model.pixel_decoder = (
        FPNConfig(conv_dim=32, mask_dim=8) if isinstance(backbone, SwinConfig) else pixel_decoder
    )
    config.model.transformer_decoder.num_layers = 1
    return config


@pytest.mark.parametrize(
    "backbone",
    [
        ResNetConfig(depth=18, width=8),
        SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1,) * 4),
    ],
    ids=["resnet", "swin"],
)
def test_highest_reaches_every_product_of_inference(backbone) -> None:
    model = build_model(small_config(backbone).model, num_classes=4)
    images = np.zeros((1, 64, 64, 3), np.uint8)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    extent = jax.ShapeDtypeStruct((1, 2), np.int32)
    lowered = {
        precision: jax.jit(make_network(model.apply, precision=precision)).lower(
            variables, (images, extent)
        )
        for precision in ("highest", None)
    }
    found = products(lowered["highest"].as_text())
    assert len(found) > 20
    assert all(found)
    assert not all(products(lowered[None].as_text()))


@pytest.mark.parametrize(("setting", "reaches"), [("auto", False), ("highest", True)])
def test_training_has_the_platforms_own_unless_asked(setting, reaches) -> None:
    config = small_config(ResNetConfig(depth=18, width=8))
    config.model.matmul_precision = setting
    model = build_model(config.model, num_classes=4)
    batch = draw_batch(2)
    variables = jax.eval_shape(model.init, jax.random.key(0), batch.image)
    loss = make_loss_function(model, config, num_classes=4, mesh=None)
    lowered = jax.jit(jax.grad(loss, has_aux=True)).lower(
        variables["params"], variables["constants"], batch, jax.random.key(0)
    )
    lines = lowered.as_text().splitlines()
    convolutions = [line for line in lines if "stablehlo.convolution" in line]
    assert len(convolutions) > 40  # backward ones, too
    assert {"HIGHEST" in line for line in convolutions} == {reaches}
    # Mask losses enlarge rows and columns, and bring both gradients back.
    enlarging = [line for line in lines if "precision = [HIGH, HIGH]" in line]
    assert len(enlarging) == (0 if reaches else 4)


def test_auto_is_highest_for_inference_in_float32_alone() -> None:
    assert resolve_precision("auto", compute_dtype="float32", train=False) == "highest"
    assert resolve_precision("auto", compute_dtype="bfloat16", train=False) is None
    assert resolve_precision("auto", compute_dtype="float32", train=True) is None
    assert resolve_precision("high", compute_dtype="bfloat16", train=True) == "high"
    assert resolve_precision("default", compute_dtype="float32", train=False) is None


def test_masks_have_the_highest_where_the_model_has() -> None:
    highest, high = jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGH
    assert precision_of_masks("highest") == highest
    assert precision_of_masks("high") == precision_of_masks(None) == high
