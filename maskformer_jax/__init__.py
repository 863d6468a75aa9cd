"""MaskFormer (arXiv 2107.06278) in JAX and Flax: semantic, instance and panoptic segmentation.

The names below are loaded when they are first used, so that importing the package costs nothing
and has no side effect.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskformer_jax.config import Config
    from maskformer_jax.config.io import load_config
    from maskformer_jax.criterion.criterion import compute_losses
    from maskformer_jax.errors import UserError
    from maskformer_jax.evaluation.instances import InstanceMetric
    from maskformer_jax.evaluation.panoptic import PanopticMetric
    from maskformer_jax.evaluation.semantic import SemanticMetric
    from maskformer_jax.matching.match import match
    from maskformer_jax.models.build import build_model
    from maskformer_jax.postprocess import (
        instance_inference,
        panoptic_inference,
        semantic_inference,
    )
    from maskformer_jax.pretrained import Loaded, Result, load_pretrained
    from maskformer_jax.types import Batch, Predictions
    from maskformer_jax.zoo.by_name import create_model, list_models

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Config",
    "InstanceMetric",
    "Loaded",
    "PanopticMetric",
    "Predictions",
    "Result",
    "SemanticMetric",
    "UserError",
    "build_model",
    "compute_losses",
    "create_model",
    "instance_inference",
    "list_models",
    "load_config",
    "load_pretrained",
    "match",
    "panoptic_inference",
    "semantic_inference",
]

_MODULES = {
    "Batch": "types",
    "Config": "config",
    "InstanceMetric": "evaluation.instances",
    "Loaded": "pretrained",
    "PanopticMetric": "evaluation.panoptic",
    "Predictions": "types",
    "Result": "pretrained",
    "SemanticMetric": "evaluation.semantic",
    "UserError": "errors",
    "build_model": "models.build",
    "compute_losses": "criterion.criterion",
    "create_model": "zoo.by_name",
    "instance_inference": "postprocess",
    "list_models": "zoo.by_name",
    "load_config": "config.io",
    "load_pretrained": "pretrained",
    "match": "matching.match",
    "panoptic_inference": "postprocess",
    "semantic_inference": "postprocess",
}


if not TYPE_CHECKING:  # type checkers read the imports above, and report a misspelt name

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
