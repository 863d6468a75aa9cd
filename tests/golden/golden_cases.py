"""The models that golden numbers exist of, and how far from them we may be."""

from dataclasses import dataclass

import numpy as np
import pytest

from maskformer_jax.config import FPNConfig, ModelConfig, SwinConfig, TransformerFPNConfig
from maskformer_jax.parts.backbones.variants import make_variant


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Largest errors, three to five times those of the official code in float32 (section 4)."""

    logits: float = 4e-4
    logits_rms: float = 5e-5
    masks: float = 5e-4
    masks_rms: float = 6e-5
    features: float = 8e-5  # of res3 to res5
    mask_features: float = 2e-5
    memory: float = 8e-5
    hs: float = 2e-4
    scores: float = 6e-4
    cost: float = 1e-3
    loss: float = 2e-5  # relative
    gradient: float = 1e-2  # relative, the worst tensor
    gradient_median: float = 2e-3
    stepped_loss: float = 3e-3  # relative, after two updates


DEEP = Bounds(
    logits=1e-3,
    logits_rms=1e-4,
    masks=1.5e-3,
    masks_rms=1e-4,
    features=2e-4,
    mask_features=3e-5,
    memory=1e-4,
    hs=4e-4,
    scores=2e-3,
    cost=3e-3,
    loss=5e-5,
    gradient=2e-2,
    gradient_median=1e-3,
    stepped_loss=1e-3,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One file of golden numbers and the model that it is about."""

    name: str
    backbone: str
    head: str = "mask_classification"
    pixel_decoder: str = "fpn"
    panoptic: bool = False
    size_divisibility: int = 32
    bounds: Bounds = Bounds()

    def config(self) -> ModelConfig:
        """The model without dropout and drop path, as the golden numbers were made."""
        config = ModelConfig(
            backbone=make_variant(self.backbone),
            pixel_decoder=(
                FPNConfig() if self.pixel_decoder == "fpn" else TransformerFPNConfig(dropout=0.0)
            ),
            head=self.head,
            size_divisibility=self.size_divisibility,
        )
        config.transformer_decoder.dropout = 0.0
        if isinstance(config.backbone, SwinConfig):
            config.backbone.drop_path = 0.0
        return config


CASES = (
    Case(name="maskformer_R50", backbone="R50"),
    Case(name="maskformer_R101c", backbone="R101c", bounds=DEEP),
    Case(name="maskformer_swin_tiny", backbone="swin_tiny"),
    Case(name="maskformer_swin_base", backbone="swin_base"),
    Case(
        name="maskformer_panoptic_R50",
        backbone="R50",
        pixel_decoder="transformer_fpn",
        panoptic=True,
        size_divisibility=0,
    ),
    Case(
        name="maskformer_panoptic_swin_tiny",
        backbone="swin_tiny",
        panoptic=True,
        size_divisibility=0,
    ),
    Case(name="per_pixel_baseline_R50", backbone="R50", head="per_pixel", size_divisibility=0),
    Case(
        name="per_pixel_baseline_plus_R50",
        backbone="R50",
        head="per_pixel_plus",
        size_divisibility=0,
    ),
)


def for_cases(*names: str) -> pytest.MarkDecorator:
    """Runs a test on these models alone."""
    params = [pytest.param(case, id=case.name) for case in CASES if case.name in names]
    return pytest.mark.parametrize("case", params, indirect=True)


def names_of(*, heads: tuple[str, ...]) -> tuple[str, ...]:
    """The models with one of these heads."""
    return tuple(case.name for case in CASES if case.head in heads)


WITH_CLASSES = names_of(heads=("mask_classification",))
WITH_QUERIES = names_of(heads=("mask_classification", "per_pixel_plus"))
PER_PIXEL = names_of(heads=("per_pixel", "per_pixel_plus"))
PANOPTIC = tuple(case.name for case in CASES if case.panoptic)
SEMANTIC = tuple(name for name in WITH_CLASSES if name not in PANOPTIC)


def assert_within(parts: tuple[np.ndarray, np.ndarray], bound: float, rms: float = np.inf) -> None:
    actual, expected = parts
    assert actual.shape == expected.shape
    difference = actual.astype(np.float64) - expected
    assert np.abs(difference).max() <= bound
    assert np.sqrt(np.mean(difference**2)) <= rms
