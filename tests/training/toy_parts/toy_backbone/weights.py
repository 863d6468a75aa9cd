"""Weights of the toy backbone."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.parts.backbones.weights import ImageFormat, Variant
from maskformer_jax.tensor_rules.rules import CONV, affine
from maskformer_jax.tensor_rules.transfer import import_tensors
from toy_parts.toy_backbone.config import ToyBackboneConfig

VARIANTS = {"toy_wide": Variant(ToyBackboneConfig(width=16), "weights/toy.npz")}
DECAY_ROWS = ((r"(fine|coarse)/(kernel|bias)", "weight"),)
PUBLISHED_RULES = (*affine("fine", "conv4", CONV), *affine("coarse", "conv16", CONV))
PUBLISHED_SKIPPED = (r"classifier\.(weight|bias)",)
HUGGINGFACE_RULES = PUBLISHED_RULES
HUGGINGFACE_SKIPPED = ()
HUGGINGFACE_TYPES = ("toy",)


def frozen_patterns(config: ToyBackboneConfig) -> tuple[str, ...]:
    return ()


def import_imagenet(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    config: ToyBackboneConfig,
    *,
    image_format: ImageFormat,
    source: str,
) -> dict[str, Any]:
    return import_tensors(
        tensors, template, PUBLISHED_RULES, skipped=PUBLISHED_SKIPPED, source=source
    )


def published_constants(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"version": np.float32([1])}


def huggingface_constants(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {}


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> ToyBackboneConfig:
    return ToyBackboneConfig(width=values["width"])


def describe_huggingface(config: ToyBackboneConfig) -> dict[str, Any]:
    return {"model_type": "toy", "width": config.width}


def huggingface_gaps(config: ToyBackboneConfig) -> dict[str, tuple[Any, Any]]:
    return {}
