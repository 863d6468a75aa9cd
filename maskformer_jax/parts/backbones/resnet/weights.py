"""Weights of ResNets: names in other formats, variants, freezing order and weight decay."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.parts.backbones.resnet.config import ResNetConfig
from maskformer_jax.parts.backbones.resnet.huggingface import (
    HUGGINGFACE_RULES,
    HUGGINGFACE_TYPES,
    describe_huggingface,
    huggingface_constants,
    huggingface_gaps,
    read_huggingface,
)
from maskformer_jax.parts.backbones.resnet.imagenet import resnet_to_variables
from maskformer_jax.parts.backbones.resnet.names import PUBLISHED_RULES
from maskformer_jax.parts.backbones.weights import ImageFormat, Variant
from maskformer_jax.parts.part import DecayRows

__all__ = [
    "DECAY_ROWS",
    "HUGGINGFACE_RULES",
    "HUGGINGFACE_SKIPPED",
    "HUGGINGFACE_TYPES",
    "PUBLISHED_RULES",
    "PUBLISHED_SKIPPED",
    "VARIANTS",
    "describe_huggingface",
    "frozen_patterns",
    "huggingface_constants",
    "huggingface_gaps",
    "import_imagenet",
    "published_constants",
    "read_huggingface",
]

VARIANTS = {
    "R50": Variant(ResNetConfig(depth=50), "weights/R-50.pkl"),
    "R101": Variant(ResNetConfig(depth=101), "weights/R-101.pkl"),
    # "c" as DeepLab has it: three 3x3 convolutions for a stem, and dilated ones in res5.
    "R101c": Variant(
        ResNetConfig(depth=101, stem="deeplab", res5_dilations=(1, 2, 4)), "weights/R-103.pkl"
    ),
}
FREEZE_ORDER = ("stem", "res2", "res3", "res4", "res5")
# Frozen batch norms are constants, no parameters; group norms have the same place.
DECAY_ROWS: DecayRows = (
    (r"(stem|res\d_\d+)/(conv\d|shortcut)/conv/kernel", "weight"),
    (r"(stem|res\d_\d+)/(conv\d|shortcut)/norm/(scale|bias)", "norm"),
)
PUBLISHED_SKIPPED: tuple[str, ...] = ()
HUGGINGFACE_SKIPPED: tuple[str, ...] = ()


def frozen_patterns(config: ResNetConfig) -> tuple[str, ...]:
    """The first `freeze_at` of stem and stages."""
    return FREEZE_ORDER[: config.freeze_at]


def import_imagenet(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    config: ResNetConfig,
    *,
    image_format: ImageFormat,
    source: str,
) -> dict[str, Any]:
    """The variables of an ImageNet ResNet; see `imagenet.resnet_to_variables`."""
    return resnet_to_variables(
        tensors,
        template,
        input_format="bgr_mean" if image_format.weights == "caffe" else "rgb_normalized",
        stride_in_1x1=config.stride_in_1x1,
        pixel_mean=image_format.pixel_mean,
        pixel_std=image_format.pixel_std,
        source=source,
    )


def published_constants(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Published files hold nothing but the tensors of a ResNet."""
    del tensors
    return {}
