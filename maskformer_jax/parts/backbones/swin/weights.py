"""Weights of Swin: names in other formats, variants, freezing order and weight decay."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.parts.backbones.swin.config import SwinConfig
from maskformer_jax.parts.backbones.swin.huggingface import (
    HUGGINGFACE_RULES,
    HUGGINGFACE_SKIPPED,
    HUGGINGFACE_TYPES,
    describe_huggingface,
    huggingface_constants,
    huggingface_gaps,
    read_huggingface,
)
from maskformer_jax.parts.backbones.swin.imagenet import swin_to_variables
from maskformer_jax.parts.backbones.swin.names import (
    PUBLISHED_RULES,
    PUBLISHED_SKIPPED,
    window_indices,
)
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
    "swin_tiny": Variant(
        SwinConfig(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window=7),
        "weights/swin_tiny_patch4_window7_224.pkl",
    ),
    "swin_small": Variant(
        SwinConfig(embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window=7),
        "weights/swin_small_patch4_window7_224.pkl",
    ),
    "swin_base": Variant(
        SwinConfig(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window=12),
        "weights/swin_base_patch4_window12_384_22k.pkl",
    ),
    "swin_large": Variant(
        SwinConfig(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window=12),
        "weights/swin_large_patch4_window12_384_22k.pkl",
    ),
}
BLOCK = r"res\d_\d+"
DECAY_ROWS: DecayRows = (
    (rf"{BLOCK}/attention/relative_position_bias_table", "none"),
    (r"patch_embed/proj/(kernel|bias)|merge_res\d/reduction/kernel", "weight"),
    (rf"{BLOCK}/(attention/(qkv|proj)|linear\d)/(kernel|bias)", "weight"),
    (rf"({BLOCK}/norm\d|(patch_embed|merge_res\d)/norm|norm_res\d)/(scale|bias)", "norm"),
)


def frozen_patterns(config: SwinConfig) -> tuple[str, ...]:
    """No part of a Swin is ever frozen."""
    del config
    return ()


def import_imagenet(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    config: SwinConfig,
    *,
    image_format: ImageFormat,
    source: str,
) -> dict[str, Any]:
    """The variables of an ImageNet Swin; see `imagenet.swin_to_variables`."""
    del config, image_format  # all Swin files were trained on images normalised as ours
    return swin_to_variables(tensors, template, source=source)


def published_constants(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tables of indices beside the bias tables."""
    return window_indices(tensors)
