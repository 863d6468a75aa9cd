"""From a configuration to modules: the only place in `models` that knows the config."""

import dataclasses
from typing import Any

import jax
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
        config.size_divisibility >= 0,
        "config.model.size_divisibility",
        config.size_divisibility,
        ">= 0",
    )
    _require(
        config.compute_dtype != "float64" or jax.dtypes.canonicalize_dtype("float64") == "float64",
        "model.compute_dtype",
        config.compute_dtype,
        "float32 or bfloat16, or JAX started with JAX_ENABLE_X64=1",
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


def build_backbone(
    config: ResNetConfig | SwinConfig, *, dtype: DTypeLike = jnp.float32, remat: bool = False
) -> ResNet | Swin:
    """Build the backbone alone: normalised images to "res2" .. "res5"."""
    if isinstance(config, SwinConfig):
        return _build_swin(config, dtype=dtype, remat=remat)
    field = "config.model.backbone."
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
    return ResNet(**_settings(config), dtype=dtype, remat=remat)


def _build_swin(config: SwinConfig, *, dtype: DTypeLike, remat: bool) -> Swin:
    field = "config.model.backbone."
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
    return Swin(**_settings(config), dtype=dtype, remat=remat)


def build_pixel_decoder(
    config: PixelDecoderConfig, *, dtype: DTypeLike = jnp.float32, remat: bool = False
) -> FPNPixelDecoder:
    """Build the pixel decoder alone: "res2" .. "res5" to per-pixel embeddings."""
    field = "config.model.pixel_decoder."
    _require(
        config.conv_dim > 0 and config.conv_dim % 32 == 0,
        field + "conv_dim",
        config.conv_dim,
        "a multiple of 32, the number of norm groups",
    )
    _require(config.mask_dim >= 1, field + "mask_dim", config.mask_dim, "at least 1")
    return FPNPixelDecoder(
        encoder=(
            _build_encoder(config, dtype=dtype, remat=remat)
            if config.type == "transformer_fpn"
            else None
        ),
        conv_dim=config.conv_dim,
        mask_dim=config.mask_dim,
        dtype=dtype,
        remat=remat,
    )


def _build_encoder(
    config: PixelDecoderConfig, *, dtype: DTypeLike, remat: bool
) -> TransformerEncoder:
    _check_layers(config, "config.model.pixel_decoder.", width="conv_dim")
    settings = _settings(config)
    del settings["mask_dim"]
    hidden_dim = settings.pop("conv_dim")
    return TransformerEncoder(hidden_dim=hidden_dim, **settings, dtype=dtype, remat=remat)


def build_transformer_decoder(
    config: TransformerDecoderConfig,
    *,
    num_classes: int | None,
    mask_dim: int,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> TransformerDecoder:
    """Build the transformer decoder alone: features and embeddings to predictions.

    Without `num_classes` it predicts masks only.
    """
    field = "config.model.transformer_decoder."
    _require(config.num_queries >= 1, field + "num_queries", config.num_queries, "at least 1")
    _check_layers(config, field, width="hidden_dim", least=0)
    return TransformerDecoder(
        num_classes=num_classes,
        mask_dim=mask_dim,
        **_settings(config),
        dtype=dtype,
        remat=remat,
    )


def _check_layers(
    config: PixelDecoderConfig | TransformerDecoderConfig,
    field: str,
    *,
    width: str,
    least: int = 1,
) -> None:
    """Check what transformer encoder and decoder have in common."""
    layers = config.num_layers
    _require(layers >= least, field + "num_layers", layers, f"at least {least}")
    for name in ("num_heads", "ffn_dim", width):
        _require(getattr(config, name) >= 1, field + name, getattr(config, name), "at least 1")
    value = getattr(config, width)
    _require(
        value % 4 == 0 and value % config.num_heads == 0,
        field + width,
        value,
        f"a multiple of 4 and of num_heads ({config.num_heads})",
    )
    _require(0 <= config.dropout < 1, field + "dropout", config.dropout, "in [0, 1)")


def _settings(config: Any) -> dict[str, Any]:
    """The fields of a config, which its module has as attributes of the same names."""
    settings = {item.name: getattr(config, item.name) for item in dataclasses.fields(config)}
    settings.pop("type", None)
    return settings


def _require(holds: bool, field: str, value: object, wanted: str) -> None:
    if not holds:
        raise UserError(f"{field} is {value!r}, but should be {wanted}")
