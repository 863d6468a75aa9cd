"""Hugging Face's `config.json` and `preprocessor_config.json` of MaskFormer, and our config.

What the model computes is taken over exactly or refused. Of training only the weights of the
losses and the dropout are taken over.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.config import (
    Config,
    ModelConfig,
    PixelDecoderConfig,
    ResNetConfig,
    SwinConfig,
    TransformerDecoderConfig,
)
from maskformer_jax.errors import UserError

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
MODEL_TYPE = "maskformer"
STAGES = ["stage1", "stage2", "stage3", "stage4"]
BLOCKS: dict[tuple[str, tuple[int, ...]], Any] = {  # (kind of block, blocks of each stage): depth
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
}
# What our model does; a value that a file lacks is this one in transformers, too.
SWIN_FIXED = {  # of any out_features, transformers' MaskFormer uses all four
    "num_channels": 3,
    "patch_size": 4,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "use_absolute_embeddings": False,
}
RESNET_FIXED = {
    "num_channels": 3,
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "out_features": STAGES,
}
DECODER_FIXED = {"model_type": "detr", "activation_function": "relu"}


def is_huggingface_folder(path: Path) -> bool:
    """Whether a folder is a model of transformers' making (ours have another `config.json`)."""
    file = path / CONFIG_FILE
    if not file.is_file():
        return False
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "model_type" in values


def read_config(folder: Path) -> Config:
    """Our config of a Hugging Face folder; all but model, loss weights and sizes is as always.

    Preprocessing comes from `preprocessor_config.json` where there is one. Its sides are made
    multiples of `size_divisor` by resizing, ours by padding.

    Raises:
        UserError: a file is damaged, or the model is another one or has parts that ours has not;
            lists all of them.
    """
    values = _read_json(folder / CONFIG_FILE)
    if values.get("model_type") != MODEL_TYPE:
        raise UserError(
            f"{folder / CONFIG_FILE}: model_type is {values.get('model_type')!r}, but should be "
            f"{MODEL_TYPE!r}"
        )
    problems: list[str] = []
    try:
        config = Config(name=folder.absolute().name, model=_read_model(values, problems))
        loss = config.loss
        loss.class_weight = float(values.get("cross_entropy_weight", 1.0))
        loss.mask_weight = float(values.get("mask_weight", 20.0))
        loss.dice_weight = float(values.get("dice_weight", 1.0))
        loss.no_object_weight = float(values.get("no_object_weight", 0.1))
        if (folder / PREPROCESSOR_FILE).is_file():
            _read_preprocessor(_read_json(folder / PREPROCESSOR_FILE), config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder / CONFIG_FILE}: not a config of MaskFormer ({type(error).__name__}: {error})"
        ) from error
    if problems:
        raise UserError(
            "\n  ".join([f"{folder / CONFIG_FILE}: our model cannot be this one:", *problems])
        )
    return config


def read_labels(folder: Path) -> dict[str, Any]:
    """The table `id2label` of the classes; transformers does not write its default."""
    labels = _read_json(folder / CONFIG_FILE).get("id2label")
    return labels if isinstance(labels, dict) else {"0": "LABEL_0", "1": "LABEL_1"}


def describe_model(config: Config, label_names: Sequence[str]) -> dict[str, Any]:
    """Transformers' `config.json` of our model.

    Raises:
        UserError: transformers' MaskFormer lacks parts of the model; lists all of them.
    """
    model, problems = config.model, list(_find_unknown_parts(config.model))
    if problems:
        raise UserError(
            "\n  ".join(["Hugging Face's MaskFormer has no part for these fields:", *problems])
        )
    decoder = model.transformer_decoder
    return {
        "architectures": ["MaskFormerForInstanceSegmentation"],
        "model_type": MODEL_TYPE,
        "backbone_config": _describe_backbone(model.backbone),
        "decoder_config": {
            **DECODER_FIXED,
            "d_model": decoder.hidden_dim,
            "num_queries": decoder.num_queries,
            "decoder_layers": decoder.num_layers,
            "decoder_attention_heads": decoder.num_heads,
            "decoder_ffn_dim": decoder.ffn_dim,
            "dropout": decoder.dropout,
            "attention_dropout": decoder.dropout,
        },
        "fpn_feature_size": model.pixel_decoder.conv_dim,
        "mask_feature_size": model.pixel_decoder.mask_dim,
        # With True, transformers 5 fails outside training; those who train there set it.
        "use_auxiliary_loss": False,
        "cross_entropy_weight": config.loss.class_weight,
        "mask_weight": config.loss.mask_weight,
        "dice_weight": config.loss.dice_weight,
        "no_object_weight": config.loss.no_object_weight,
        "id2label": {str(label): name for label, name in enumerate(label_names)},
        "label2id": {name: label for label, name in enumerate(label_names)},
        "dtype": "float32",
    }


def describe_preprocessing(config: Config) -> dict[str, Any]:
    """Transformers' `preprocessor_config.json`: sizes of evaluation, mean and deviation."""
    model = config.model
    return {
        "image_processor_type": "MaskFormerImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": config.eval.short_edge, "longest_edge": config.eval.max_size},
        "size_divisor": max(model.size_divisibility, 1),
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [value / 255 for value in model.pixel_mean],
        "image_std": [value / 255 for value in model.pixel_std],
    }


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{file}: should hold a JSON object")
    return values


def _read_model(values: Mapping[str, Any], problems: list[str]) -> ModelConfig:
    decoder = values.get("decoder_config") or {}
    problems += _find_differences("decoder_config", decoder, DECODER_FIXED)
    return ModelConfig(
        backbone=_read_backbone(values.get("backbone_config") or {}, problems),
        pixel_decoder=PixelDecoderConfig(
            conv_dim=int(values.get("fpn_feature_size", 256)),
            mask_dim=int(values.get("mask_feature_size", 256)),
        ),
        transformer_decoder=TransformerDecoderConfig(
            num_queries=int(decoder.get("num_queries", 100)),
            num_layers=int(decoder.get("decoder_layers", 6)),
            hidden_dim=int(decoder.get("d_model", 256)),
            num_heads=int(decoder.get("decoder_attention_heads", 8)),
            ffn_dim=int(decoder.get("decoder_ffn_dim", 2048)),
            dropout=float(decoder.get("dropout", 0.1)),
        ),
    )


def _read_backbone(values: Mapping[str, Any], problems: list[str]) -> ResNetConfig | SwinConfig:
    kind = values.get("model_type")
    if kind in ("swin", "maskformer-swin"):
        problems += _find_differences("backbone_config", values, SWIN_FIXED)
        return SwinConfig(
            embed_dim=int(values.get("embed_dim", 96)),
            depths=_four(values.get("depths", (2, 2, 6, 2))),
            num_heads=_four(values.get("num_heads", (3, 6, 12, 24))),
            window=int(values.get("window_size", 7)),
            drop_path=float(values.get("drop_path_rate", 0.1)),
        )
    if kind != "resnet":
        problems.append(f"backbone_config.model_type is {kind!r}, should be 'swin' or 'resnet'")
        return ResNetConfig()
    problems += _find_differences("backbone_config", values, RESNET_FIXED)
    block = values.get("layer_type", "bottleneck")
    blocks = _four(values.get("depths", (3, 4, 6, 3)))
    sizes = _four(values.get("hidden_sizes", (256, 512, 1024, 2048)))
    width = int(values.get("embedding_size", 64))
    expected = tuple(width * 2**i * (4 if block == "bottleneck" else 1) for i in range(4))
    if (block, blocks) not in BLOCKS:
        known = ", ".join(f"{kind} {list(depths)}" for kind, depths in BLOCKS)
        problems.append(
            f"backbone_config.layer_type and depths are {block} {list(blocks)}, should be one of "
            f"{known}"
        )
    if sizes != expected:
        problems.append(
            f"backbone_config.hidden_sizes is {list(sizes)}, should be {list(expected)}"
        )
    return ResNetConfig(
        depth=BLOCKS.get((block, blocks), 50),
        width=width,
        stride_in_1x1=bool(values.get("downsample_in_bottleneck", False)),
    )


def _read_preprocessor(values: Mapping[str, Any], config: Config) -> None:
    """Takes over sizes, mean and deviation; older files spell them otherwise."""
    size = values.get("size", {})
    size = size if isinstance(size, Mapping) else {"shortest_edge": size}
    sides = [size[name] for name in ("height", "width") if name in size]
    config.eval.short_edge = int(size.get("shortest_edge", min(sides, default=800)))
    longest = size.get("longest_edge", values.get("max_size"))
    config.eval.max_size = int(longest or max(sides, default=1333))
    divisor = values.get("size_divisor", values.get("size_divisibility", 32))
    config.model.size_divisibility = 0 if divisor in (None, 1) else int(divisor)
    scale = 1 / float(values.get("rescale_factor", 1 / 255))
    config.model.pixel_mean = _scale(values.get("image_mean", (0.485, 0.456, 0.406)), scale)
    config.model.pixel_std = _scale(values.get("image_std", (0.229, 0.224, 0.225)), scale)


def _describe_backbone(backbone: ResNetConfig | SwinConfig) -> dict[str, Any]:
    if isinstance(backbone, SwinConfig):
        return {
            "model_type": "swin",
            **SWIN_FIXED,
            "out_features": STAGES,
            "embed_dim": backbone.embed_dim,
            "depths": list(backbone.depths),
            "num_heads": list(backbone.num_heads),
            "window_size": backbone.window,
            "drop_path_rate": backbone.drop_path,
        }
    (block, blocks) = next(key for key, depth in BLOCKS.items() if depth == backbone.depth)
    expansion = 4 if block == "bottleneck" else 1
    return {
        "model_type": "resnet",
        **RESNET_FIXED,
        "embedding_size": backbone.width,
        "hidden_sizes": [backbone.width * 2**i * expansion for i in range(4)],
        "depths": list(blocks),
        "layer_type": block,
        "downsample_in_bottleneck": backbone.stride_in_1x1,
    }


def _find_unknown_parts(model: ModelConfig) -> list[str]:
    """The fields of our model that say what theirs cannot do."""
    expected: dict[str, tuple[Any, Any]] = {
        "head": (model.head, "mask_classification"),
        "pixel_decoder.type": (model.pixel_decoder.type, "fpn"),
    }
    backbone, decoder = model.backbone, model.transformer_decoder
    for name, wanted in (("pre_norm", False), ("share_heads", True), ("self_attention", True)):
        expected[f"transformer_decoder.{name}"] = (getattr(decoder, name), wanted)
    if not decoder.num_layers:
        expected["transformer_decoder.num_layers"] = (0, "1 or more")
    if isinstance(backbone, ResNetConfig):
        expected |= {
            "backbone.stem": (backbone.stem, "basic"),
            "backbone.norm": (backbone.norm, "frozen_batch_norm"),
            "backbone.res5_dilations": (backbone.res5_dilations, (1, 1, 1)),
        }
        channels = backbone.width * 8 * (4 if backbone.depth >= 50 else 1)
    else:
        channels = backbone.embed_dim * 8
    if channels == decoder.hidden_dim:
        name = "transformer_decoder.enforce_input_proj"
        expected[name] = (decoder.enforce_input_proj, False)
    return [
        f"config.model.{name} is {value!r}, should be {wanted!r}"
        for name, (value, wanted) in expected.items()
        if value != wanted
    ]


def _find_differences(
    section: str, values: Mapping[str, Any], fixed: Mapping[str, Any]
) -> list[str]:
    return [
        f"{section}.{name} is {values[name]!r}, should be {wanted!r}"
        for name, wanted in fixed.items()
        if values.get(name) is not None and values[name] != wanted
    ]


def _four(values: Sequence[int]) -> tuple[int, int, int, int]:
    first, second, third, fourth = (int(value) for value in values)
    return first, second, third, fourth


def _scale(values: Sequence[float], factor: float) -> tuple[float, float, float]:
    # Rounded, so that 0.485 gives our 123.675.
    red, green, blue = (round(value * factor, 6) for value in values)
    return red, green, blue
