"""The contents of a backbone's `weights.py`: ImageNet files, foreign names, optimizer groups."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.parts.part import DecayRows, weights_module
from maskformer_jax.tensor_rules.rules import Rule

InputFormat = Literal["torchvision", "caffe"]


class Variant(NamedTuple):
    """A backbone under the name by which papers know it."""

    config: BackboneConfig
    weights_file: str  # ImageNet weights in detectron2's format, from which the recipes start


class ImageFormat(NamedTuple):
    """The image format that a weights file was trained on, and our normalisation."""

    weights: InputFormat  # the file's: RGB over the deviation, or BGR as Caffe has it
    pixel_mean: tuple[float, float, float]  # ours, RGB, 0..255
    pixel_std: tuple[float, float, float]


@runtime_checkable
class BackboneWeights(Protocol):
    """The names in the `weights.py` of a backbone. Paths and names start below the backbone."""

    VARIANTS: dict[str, Variant]
    DECAY_ROWS: DecayRows
    PUBLISHED_RULES: tuple[Rule, ...]  # to the names of detectron2 and the published checkpoints
    PUBLISHED_SKIPPED: tuple[str, ...]  # patterns of published names without a variable
    HUGGINGFACE_RULES: tuple[Rule, ...]
    HUGGINGFACE_SKIPPED: tuple[str, ...]
    HUGGINGFACE_TYPES: tuple[str, ...]  # `model_type` in a Hugging Face `backbone_config`

    def frozen_patterns(self, config: Any) -> tuple[str, ...]:
        """Patterns of the starts of the paths of parameters that never change."""

    def import_imagenet(
        self,
        tensors: Mapping[str, np.ndarray],
        template: Mapping[str, Any],
        config: Any,
        *,
        image_format: ImageFormat,
        source: str,
    ) -> dict[str, Any]:
        """The variables from an ImageNet file; raises UserError where it does not fit."""

    def published_constants(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Tensors, by name, that published files hold in addition to the given ones."""

    def huggingface_constants(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Tensors, by name, that Hugging Face files hold in addition to the given ones."""

    def read_huggingface(self, values: Mapping[str, Any], problems: list[str]) -> Any:
        """The config for a `backbone_config`; appends unsupported values to `problems`."""

    def describe_huggingface(self, config: Any) -> dict[str, Any]:
        """The `backbone_config` of a config."""

    def huggingface_gaps(self, config: Any) -> dict[str, tuple[Any, Any]]:
        """Fields that Hugging Face's module lacks: (our value, the only value it supports)."""


def backbone_weights(kind: type[BackboneConfig]) -> BackboneWeights:
    """The `weights.py` of a backbone."""
    return cast(BackboneWeights, weights_module(kind))
