"""Published settings without a field: they follow from several fields, or the code has no choice.

Where a constant or a method of the code says it, the value is taken from there.
"""

from typing import Any

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.transforms import PAD_COLOR
from maskformer_jax.losses import FOCAL_ALPHA, FOCAL_GAMMA
from maskformer_jax.parts.backbones.resnet.model import BLOCKS
from maskformer_jax.parts.backbones.table import BACKBONES
from maskformer_jax.parts.backbones.weights import backbone_weights


def built_in_settings(config: Config) -> dict[str, Any]:
    """Those of a config, by their path in the published table."""
    model, eval_ = config.model, config.eval
    channels = model.backbone.channels()
    levels = tuple(f"res{level}" for level in range(2, 2 + len(channels)))
    return {
        **dict.fromkeys(("backbone.out_features", "pixel_decoder.in_features"), levels),
        "backbone.name": find_variant(config),
        "backbone.out_channels": tuple(channels.values()),
        "backbone.out_strides": tuple(channels),
        **(swin_settings() if isinstance(model.backbone, SwinConfig) else resnet_settings(config)),
        "pixel_decoder.norm": "GN",
        "pixel_decoder.transformer_enc_layers": 0,
        **transformer_settings(config),
        **data_settings(config),
        **loss_settings(config),
        "solver.optimizer": "ADAMW",
        "solver.clip_gradients.enabled": True,
        "solver.clip_gradients.type": "full_model",
        "solver.clip_gradients.norm_type": 2.0,
        "solver.warmup_method": "linear",
        "solver.poly_constant_ending": 0.0 if config.optim.schedule == "poly" else None,
        "test.panoptic_on": eval_.task == "panoptic",
    }


def find_variant(config: Config) -> str:
    """The published name of a backbone with these settings and this file of weights."""
    names = {
        "swin_tiny": "Swin-T",
        "swin_small": "Swin-S",
        "swin_base": "Swin-B (IN-22K, 384)",
        "swin_large": "Swin-L (IN-22K, 384)",
    }
    variants = [
        name
        for kind in BACKBONES.values()
        for name, variant in backbone_weights(kind).VARIANTS.items()
        if variant == (config.model.backbone, config.train.init_backbone)
    ]
    [name] = variants
    return names.get(name, name)


def swin_settings() -> dict[str, Any]:
    fixed = {
        "patch_size": 4,
        "mlp_ratio": 4.0,
        "qkv_bias": True,
        "qk_scale": None,
        "drop_rate": 0.0,
        "attn_drop_rate": 0.0,
        "ape": False,
        "patch_norm": True,
        "norm": "LayerNorm",
        "frozen_stages": -1,
    }
    return {f"backbone.{key}": value for key, value in fixed.items()}


def resnet_settings(config: Config) -> dict[str, Any]:
    backbone: Any = config.model.backbone
    fixed = {
        "blocks": BLOCKS[backbone.depth],
        "stem_out_channels": (2 if backbone.stem == "deeplab" else 1) * backbone.width,
        "num_groups": 1,
        "res2_out_channels": backbone.channels()[4],
        "res4_dilation": 1,
        "res5_dilation": 1,
    }
    return {f"backbone.{key}": value for key, value in fixed.items()}


def transformer_settings(config: Config) -> dict[str, Any]:
    decoder: Any = config.model.transformer_decoder
    pixel_decoder = config.model.pixel_decoder
    if config.model.head == "per_pixel":
        return {"transformer_predictor": None}
    encoded = pixel_decoder.type == "transformer_fpn"
    width = pixel_decoder.conv_dim if encoded else config.model.backbone.channels()[32]
    return {
        "transformer_predictor.in_feature": "transformer_encoder" if encoded else "res5",
        "transformer_predictor.has_input_proj": (
            decoder.enforce_input_proj or width != decoder.hidden_dim
        ),
        "transformer_predictor.enc_layers": 0,
        "transformer_predictor.mask_classification": config.model.head == "mask_classification",
    }


def data_settings(config: Config) -> dict[str, Any]:
    info = load_dataset_info(config.data.dataset)
    things = sum(category.is_thing for category in info.categories)
    panoptic = config.eval.task == "panoptic"
    augment = config.data.augment
    varying = config.data.mapper == "coco_panoptic"
    height, width = augment.crop_size
    # Cityscapes' crops are not square, and always fit into the resized image.
    padded = augment.crop_kind == "absolute" and height == width
    return {
        "dataset.num_classes": info.num_classes,
        "dataset.ignore_value": published_ignore_label(config),
        "dataset.thing_classes": things if panoptic else None,
        "dataset.stuff_classes": info.num_classes - things if panoptic else info.num_classes,
        "input_train.format": "RGB",
        "input_train.min_size_sampling": "choice",
        "input_train.crop.enabled": True,
        "input_train.crop.single_category_max_area": None if varying else 1.0,  # any crop will do
        "input_train.pad_to_square": height if padded else None,
        "input_train.pad_image_value": PAD_COLOR if padded else None,
    }


def published_ignore_label(config: Config) -> int | None:
    info = load_dataset_info(config.data.dataset)
    # SceneParse150's files hold 0 for void; published is the value after subtracting 1 in uint8.
    as_distributed = config.data.dataset == "ade20k-150" and info.ignore_label == 0
    return 255 if as_distributed else info.ignore_label


def loss_settings(config: Config) -> dict[str, Any]:
    decoder: Any = config.model.transformer_decoder
    auxiliary = decoder.num_layers - 1 if decoder.deep_supervision else 0
    if config.model.head != "mask_classification":
        return {
            "loss.type": "per_pixel_cross_entropy",
            "loss.loss_weight": 1.0,
            "loss.ignore_value": published_ignore_label(config),
            "loss.aux_losses": auxiliary if config.model.head == "per_pixel_plus" else 0,
        }
    return {
        "loss.type": "set_prediction",
        "loss.focal_alpha": FOCAL_ALPHA,
        "loss.focal_gamma": FOCAL_GAMMA,
        "loss.aux_losses": auxiliary,
    }
