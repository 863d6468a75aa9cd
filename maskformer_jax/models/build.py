"""From a configuration to modules: the only place in `models` that knows the config."""

import jax.numpy as jnp
from jax.typing import DTypeLike

from maskformer_jax.config import (
    ModelConfig,
    PixelDecoderConfig,
    ResNetConfig,
    TransformerDecoderConfig,
)
from maskformer_jax.errors import UserError
from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.models.pixel_decoder import FPNPixelDecoder
from maskformer_jax.models.resnet import BLOCKS, ResNet
from maskformer_jax.models.transformer_decoder import TransformerDecoder


def build_model(config: ModelConfig, *, num_classes: int) -> MaskFormer:
    """Build the model of a configuration.

    Args:
        config: the `model` part of a configuration.
        num_classes: K, without no-object.

    Raises:
        UserError: a value with which no model can be built; names the field.
    """
    _require(num_classes >= 1, "num_classes", num_classes, "at least 1")
    _require(
        config.size_divisibility >= 0, "model.size_divisibility", config.size_divisibility, ">= 0"
    )
    dtype = jnp.bfloat16 if config.compute_dtype == "bfloat16" else jnp.float32
    return MaskFormer(
        backbone=build_backbone(config.backbone, dtype=dtype),
        pixel_decoder=build_pixel_decoder(config.pixel_decoder, dtype=dtype),
        transformer_decoder=build_transformer_decoder(
            config.transformer_decoder,
            num_classes=num_classes,
            mask_dim=config.pixel_decoder.mask_dim,
            dtype=dtype,
        ),
        pixel_mean=config.pixel_mean,
        pixel_std=config.pixel_std,
        size_divisibility=config.size_divisibility,
    )


def build_backbone(config: ResNetConfig, *, dtype: DTypeLike = jnp.float32) -> ResNet:
    """Build the backbone alone: normalised images to "res2" .. "res5"."""
    field = "model.backbone."
    _require(config.depth in BLOCKS, field + "depth", config.depth, f"one of {sorted(BLOCKS)}")
    _require(config.width >= 1, field + "width", config.width, "at least 1")
    divides = config.norm != "group_norm" or config.width % 32 == 0
    _require(divides, field + "width", config.width, "a multiple of 32 with group_norm")
    _require(0 <= config.freeze_at <= 5, field + "freeze_at", config.freeze_at, "in 0..5")
    return ResNet(
        depth=config.depth,
        width=config.width,
        stride_in_1x1=config.stride_in_1x1,
        norm=config.norm,
        freeze_at=config.freeze_at,
        dtype=dtype,
    )


def build_pixel_decoder(
    config: PixelDecoderConfig, *, dtype: DTypeLike = jnp.float32
) -> FPNPixelDecoder:
    """Build the pixel decoder alone: "res2" .. "res5" to per-pixel embeddings."""
    field = "model.pixel_decoder."
    _require(
        config.conv_dim > 0 and config.conv_dim % 32 == 0,
        field + "conv_dim",
        config.conv_dim,
        "a multiple of 32, the number of norm groups",
    )
    _require(config.mask_dim >= 1, field + "mask_dim", config.mask_dim, "at least 1")
    return FPNPixelDecoder(conv_dim=config.conv_dim, mask_dim=config.mask_dim, dtype=dtype)


def build_transformer_decoder(
    config: TransformerDecoderConfig,
    *,
    num_classes: int,
    mask_dim: int,
    dtype: DTypeLike = jnp.float32,
) -> TransformerDecoder:
    """Build the transformer decoder alone: features and embeddings to predictions."""
    field = "model.transformer_decoder."
    for name in ("num_queries", "num_layers", "hidden_dim", "num_heads", "ffn_dim"):
        _require(getattr(config, name) >= 1, field + name, getattr(config, name), "at least 1")
    _require(
        config.hidden_dim % 4 == 0 and config.hidden_dim % config.num_heads == 0,
        field + "hidden_dim",
        config.hidden_dim,
        f"a multiple of 4 and of num_heads ({config.num_heads})",
    )
    _require(0 <= config.dropout < 1, field + "dropout", config.dropout, "in [0, 1)")
    return TransformerDecoder(
        num_classes=num_classes,
        num_queries=config.num_queries,
        num_layers=config.num_layers,
        hidden_dim=config.hidden_dim,
        num_heads=config.num_heads,
        ffn_dim=config.ffn_dim,
        mask_dim=mask_dim,
        dropout=config.dropout,
        pre_norm=config.pre_norm,
        deep_supervision=config.deep_supervision,
        enforce_input_proj=config.enforce_input_proj,
        dtype=dtype,
    )


def _require(holds: bool, field: str, value: object, wanted: str) -> None:
    if not holds:
        raise UserError(f"{field} is {value!r}, but should be {wanted}")
