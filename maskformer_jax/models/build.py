"""From a configuration to a model: the only module of `models` that knows the config."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from maskformer_jax.config import (
    BackboneConfig,
    ModelConfig,
    PixelDecoderConfig,
    TransformerDecoderConfig,
)
from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.models.per_pixel import PerPixelBaseline, PerPixelBaselinePlus
from maskformer_jax.parts.part import model_module
from maskformer_jax.validation import raise_problems, require


def build_model(config: ModelConfig, *, num_classes: int) -> MaskFormer | PerPixelBaseline:
    """Build the model of a configuration.

    Args:
        config: the `model` part of a configuration.
        num_classes: K, without no-object.

    Raises:
        UserError: a value with which no model can be built; names the field.
    """
    raise_problems(
        [
            *config.problems("config.model"),
            *require(num_classes >= 1, "num_classes", num_classes, "at least 1"),
            *require(
                config.compute_dtype != "float64"
                or jax.dtypes.canonicalize_dtype("float64") == "float64",
                "config.model.compute_dtype",
                config.compute_dtype,
                "float32 or bfloat16 unless JAX is started with JAX_ENABLE_X64=1",
            ),
        ]
    )
    dtype = jnp.dtype(config.compute_dtype)
    common: dict[str, Any] = {
        "backbone": build_backbone(config.backbone, dtype=dtype, remat=config.remat),
        "pixel_decoder": build_pixel_decoder(config.pixel_decoder, dtype=dtype, remat=config.remat),
        "pixel_mean": config.pixel_mean,
        "pixel_std": config.pixel_std,
        "size_divisibility": config.size_divisibility,
    }
    if config.head == "per_pixel":
        return PerPixelBaseline(**common, num_classes=num_classes)
    decoder, with_classes = config.transformer_decoder, config.head == "mask_classification"
    return (MaskFormer if with_classes else PerPixelBaselinePlus)(
        **common,
        transformer_decoder=build_transformer_decoder(
            decoder if with_classes else dataclasses.replace(decoder, num_queries=num_classes),
            num_classes=num_classes if with_classes else None,
            mask_dim=config.pixel_decoder.mask_dim,
            dtype=dtype,
            remat=config.remat,
        ),
    )


def inference_model(model: nn.Module) -> nn.Module:
    """The same model, of the same variables, with the predictions of the last layer alone."""
    decoder: Any = getattr(model, "transformer_decoder", None)
    if not getattr(decoder, "deep_supervision", False):
        return model
    return model.clone(transformer_decoder=decoder.clone(deep_supervision=False))


def build_backbone(
    config: BackboneConfig, *, dtype: DTypeLike = jnp.float32, remat: bool = False
) -> nn.Module:
    """Build the backbone alone: preprocessed images to feature maps by their stride."""
    raise_problems(config.problems("config.model.backbone"))
    return model_module(config).build(config, dtype=dtype, remat=remat)


def build_pixel_decoder(
    config: PixelDecoderConfig, *, dtype: DTypeLike = jnp.float32, remat: bool = False
) -> nn.Module:
    """Build the pixel decoder alone: feature maps by their stride to a PixelDecoderOutput."""
    raise_problems(config.problems("config.model.pixel_decoder"))
    return model_module(config).build(config, dtype=dtype, remat=remat)


def build_transformer_decoder(
    config: TransformerDecoderConfig,
    *,
    num_classes: int | None,
    mask_dim: int,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> nn.Module:
    """Build the transformer decoder alone: feature maps and embeddings to Predictions.

    Without `num_classes` it predicts masks only.
    """
    raise_problems(config.problems("config.model.transformer_decoder"))
    return model_module(config).build(
        config, num_classes=num_classes, mask_dim=mask_dim, dtype=dtype, remat=remat
    )
