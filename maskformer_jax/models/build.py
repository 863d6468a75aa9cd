"""From a configuration to modules: the only place in `models` that knows the config."""

import dataclasses

import jax.numpy as jnp
from jax.typing import DTypeLike

from maskformer_jax.config import (
    ModelConfig,
    PixelDecoderConfig,
    ResNetConfig,
    SwinConfig,
    TransformerDecoderConfig,
)
from maskformer_jax.errors import UserError
from maskformer_jax.models.maskformer import MaskFormer
from maskformer_jax.models.per_pixel import PerPixelBaseline, PerPixelBaselinePlus
from maskformer_jax.models.pixel_decoder import FPNPixelDecoder
from maskformer_jax.models.resnet import BLOCKS, FIRST_BOTTLENECK_DEPTH, ResNet
from maskformer_jax.models.swin import Swin
from maskformer_jax.models.transformer_decoder import TransformerDecoder
from maskformer_jax.models.transformer_encoder import TransformerEncoder


def build_model(config: ModelConfig, *, num_classes: int) -> MaskFormer | PerPixelBaseline:
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
    backbone = build_backbone(config.backbone, dtype=dtype)
    pixel_decoder = build_pixel_decoder(config.pixel_decoder, dtype=dtype)
    if config.head == "per_pixel":
        return PerPixelBaseline(
            backbone=backbone,
            pixel_decoder=pixel_decoder,
            num_classes=num_classes,
            pixel_mean=config.pixel_mean,
            pixel_std=config.pixel_std,
            size_divisibility=config.size_divisibility,
        )
    decoder, with_classes = config.transformer_decoder, config.head == "mask_classification"
    return (MaskFormer if with_classes else PerPixelBaselinePlus)(
        backbone=backbone,
        pixel_decoder=pixel_decoder,
        transformer_decoder=build_transformer_decoder(
            decoder if with_classes else dataclasses.replace(decoder, num_queries=num_classes),
            num_classes=num_classes if with_classes else None,
            mask_dim=config.pixel_decoder.mask_dim,
            dtype=dtype,
        ),
        pixel_mean=config.pixel_mean,
        pixel_std=config.pixel_std,
        size_divisibility=config.size_divisibility,
    )


def build_backbone(
    config: ResNetConfig | SwinConfig, *, dtype: DTypeLike = jnp.float32
) -> ResNet | Swin:
    """Build the backbone alone: normalised images to "res2" .. "res5"."""
    if isinstance(config, SwinConfig):
        return _build_swin(config, dtype=dtype)
    field = "model.backbone."
    _require(config.depth in BLOCKS, field + "depth", config.depth, f"one of {sorted(BLOCKS)}")
    _require(config.width >= 1, field + "width", config.width, "at least 1")
    divides = config.norm != "group_norm" or config.width % 32 == 0
    _require(divides, field + "width", config.width, "a multiple of 32 with group_norm")
    _require(0 <= config.freeze_at <= 5, field + "freeze_at", config.freeze_at, "in 0..5")
    dilations = config.res5_dilations
    _require(
        min(dilations) >= 1 and (config.depth >= FIRST_BOTTLENECK_DEPTH or set(dilations) == {1}),
        field + "res5_dilations",
        dilations,
        "at least 1 each, and 1 for depths below 50",
    )
    return ResNet(
        depth=config.depth,
        width=config.width,
        stem=config.stem,
        stride_in_1x1=config.stride_in_1x1,
        norm=config.norm,
        res5_dilations=dilations,
        freeze_at=config.freeze_at,
        dtype=dtype,
    )


def _build_swin(config: SwinConfig, *, dtype: DTypeLike) -> Swin:
    field = "model.backbone."
    _require(config.embed_dim >= 1, field + "embed_dim", config.embed_dim, "at least 1")
    _require(min(config.depths) >= 1, field + "depths", config.depths, "at least 1 each")
    _require(config.window >= 1, field + "window", config.window, "at least 1")
    _require(0 <= config.drop_path < 1, field + "drop_path", config.drop_path, "in [0, 1)")
    widths = tuple(config.embed_dim * 2**stage for stage in range(4))
    _require(
        all(
            heads >= 1 and width % heads == 0
            for width, heads in zip(widths, config.num_heads, strict=True)
        ),
        field + "num_heads",
        config.num_heads,
        f"divisors of the widths of the stages, {widths}",
    )
    return Swin(
        embed_dim=config.embed_dim,
        depths=config.depths,
        num_heads=config.num_heads,
        window=config.window,
        drop_path=config.drop_path,
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
    return FPNPixelDecoder(
        encoder=_build_encoder(config, dtype=dtype) if config.type == "transformer_fpn" else None,
        conv_dim=config.conv_dim,
        mask_dim=config.mask_dim,
        dtype=dtype,
    )


def _build_encoder(config: PixelDecoderConfig, *, dtype: DTypeLike) -> TransformerEncoder:
    field = "model.pixel_decoder."
    for name in ("num_layers", "num_heads", "ffn_dim"):
        _require(getattr(config, name) >= 1, field + name, getattr(config, name), "at least 1")
    _require(
        config.conv_dim % config.num_heads == 0,
        field + "num_heads",
        config.num_heads,
        f"a divisor of conv_dim ({config.conv_dim})",
    )
    _require(0 <= config.dropout < 1, field + "dropout", config.dropout, "in [0, 1)")
    return TransformerEncoder(
        num_layers=config.num_layers,
        hidden_dim=config.conv_dim,
        num_heads=config.num_heads,
        ffn_dim=config.ffn_dim,
        dropout=config.dropout,
        pre_norm=config.pre_norm,
        dtype=dtype,
    )


def build_transformer_decoder(
    config: TransformerDecoderConfig,
    *,
    num_classes: int | None,
    mask_dim: int,
    dtype: DTypeLike = jnp.float32,
) -> TransformerDecoder:
    """Build the transformer decoder alone: features and embeddings to predictions.

    Without `num_classes` it predicts masks only.
    """
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
