"""Hugging Face's `config.json` and `preprocessor_config.json` of MaskFormer, and our config.

What the model computes is taken over exactly or refused. Of training only the weights of the
losses and the dropout are taken over.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskformer_jax.config import BackboneConfig, Config, ModelConfig
from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.table import BACKBONES
from maskformer_jax.parts.backbones.weights import backbone_weights
from maskformer_jax.parts.pixel_decoders.table import PIXEL_DECODERS
from maskformer_jax.parts.pixel_decoders.weights import pixel_decoder_weights
from maskformer_jax.parts.transformer_decoders.table import TRANSFORMER_DECODERS
from maskformer_jax.parts.transformer_decoders.weights import transformer_decoder_weights

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
MODEL_TYPE = "maskformer"
_BILINEAR = 2  # Pillow's number


def is_huggingface_folder(path: Path) -> bool:
    """Whether transformers saved this folder (our `config.json` has other contents)."""
    file = path / CONFIG_FILE
    if not file.is_file():
        return False
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and "model_type" in values


def read_config(folder: Path) -> Config:
    """The config of a Hugging Face folder: its model, loss weights and sizes, defaults elsewhere.

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
            _read_preprocessor(_read_json(folder / PREPROCESSOR_FILE), config, problems)
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
    """The fields of `config.json`, which have the class names."""
    return _read_json(folder / CONFIG_FILE)


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
    backbone = backbone_weights(type(model.backbone))
    pixel_decoder = pixel_decoder_weights(type(model.pixel_decoder))
    decoder = transformer_decoder_weights(type(model.transformer_decoder))
    return {
        "architectures": ["MaskFormerForInstanceSegmentation"],
        "model_type": MODEL_TYPE,
        "backbone_config": backbone.describe_huggingface(model.backbone),
        "decoder_config": decoder.describe_huggingface(model.transformer_decoder),
        **pixel_decoder.describe_huggingface(model.pixel_decoder),
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
        "do_resize": config.eval.short_edge > 0,
        "size": {
            "shortest_edge": config.eval.short_edge or config.eval.max_size,
            "longest_edge": config.eval.max_size,
        },
        "size_divisor": max(model.size_divisibility, 1),
        "resample": _BILINEAR,
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
    # The one pixel decoder and the one decoder that Hugging Face's MaskFormer has.
    pixel_decoder = pixel_decoder_weights(PIXEL_DECODERS["fpn"])
    decoder = transformer_decoder_weights(TRANSFORMER_DECODERS["maskformer"])
    backbone = _read_backbone(values.get("backbone_config") or {}, problems)
    model = ModelConfig(
        pixel_decoder=pixel_decoder.read_huggingface(values, problems),
        transformer_decoder=decoder.read_huggingface(values.get("decoder_config") or {}, problems),
    )
    if backbone is not None:
        model.backbone = backbone
    return model


def _read_backbone(values: Mapping[str, Any], problems: list[str]) -> BackboneConfig | None:
    kind = values.get("model_type")
    types: list[str] = []
    for weights in map(backbone_weights, BACKBONES.values()):
        if kind in weights.HUGGINGFACE_TYPES:
            return weights.read_huggingface(values, problems)
        types += weights.HUGGINGFACE_TYPES
    names = " or ".join(map(repr, types))
    problems.append(f"backbone_config.model_type is {kind!r}, should be {names}")
    return None


def _read_preprocessor(values: Mapping[str, Any], config: Config, problems: list[str]) -> None:
    """Takes over sizes, mean, deviation and switches; older files spell sizes otherwise."""
    where = PREPROCESSOR_FILE.removesuffix(".json")
    size = values.get("size", {})
    size = size if isinstance(size, Mapping) else {"shortest_edge": size}
    if values.get("do_resize", True):
        if "height" in size or "width" in size:
            problems.append(
                f"{where}.size is {dict(size)}, should have shortest_edge and longest_edge: ours "
                "keeps the aspect of images"
            )
        if values.get("resample", _BILINEAR) != _BILINEAR:
            problems.append(
                f"{where}.resample is {values['resample']}, should be {_BILINEAR} (bilinear)"
            )
        config.eval.short_edge = int(size.get("shortest_edge", 800))
        config.eval.max_size = int(size.get("longest_edge") or values.get("max_size") or 1333)
    else:
        config.eval.short_edge = 0
    divisor = values.get("size_divisor", values.get("size_divisibility", 32))
    config.model.size_divisibility = 0 if divisor in (None, 1) else int(divisor)
    rescales = values.get("do_rescale", True)
    scale = 1 / float(values.get("rescale_factor", 1 / 255)) if rescales else 1.0
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)
    if values.get("do_normalize", True):
        mean = values.get("image_mean") or (0.485, 0.456, 0.406)
        std = values.get("image_std") or (0.229, 0.224, 0.225)
    config.model.pixel_mean, config.model.pixel_std = _scale(mean, scale), _scale(std, scale)


def _find_unknown_parts(model: ModelConfig) -> list[str]:
    """The fields of our model with a value that transformers' model cannot have."""
    expected: dict[str, tuple[Any, Any]] = {"head": (model.head, "mask_classification")}
    pixel_decoder = pixel_decoder_weights(type(model.pixel_decoder))
    if pixel_decoder.HUGGINGFACE_RULES is None:
        expected["pixel_decoder.type"] = (model.pixel_decoder.type, "fpn")
    decoder = transformer_decoder_weights(type(model.transformer_decoder))
    if decoder.HUGGINGFACE_RULES is None:
        expected["transformer_decoder.type"] = (model.transformer_decoder.type, "maskformer")
    channels = model.backbone.channels()
    gaps = decoder.huggingface_gaps(model.transformer_decoder, in_channels=channels[max(channels)])
    expected |= {f"transformer_decoder.{name}": pair for name, pair in gaps.items()}
    backbone = backbone_weights(type(model.backbone))
    gaps = backbone.huggingface_gaps(model.backbone)
    expected |= {f"backbone.{name}": pair for name, pair in gaps.items()}
    return [
        f"config.model.{name} is {value!r}, should be {wanted!r}"
        for name, (value, wanted) in expected.items()
        if value != wanted
    ]


def _scale(values: Sequence[float], factor: float) -> tuple[float, float, float]:
    # Rounded, so that 0.485 gives our 123.675.
    red, green, blue = (round(value * factor, 6) for value in values)
    return red, green, blue
