"""Weights of the FPN-like pixel decoder: names in other formats, and weight decay."""

from collections.abc import Mapping
from typing import Any

from maskformer_jax.parts.part import DecayRows
from maskformer_jax.parts.pixel_decoders.fpn.config import FPNConfig
from maskformer_jax.tensor_rules.rules import CONV, Rule, affine, norm

DECAY_ROWS: DecayRows = (
    (r"(adapter|layer)_\d/conv/kernel|mask_features/(kernel|bias)", "weight"),
    (r"(adapter|layer)_\d/norm/(scale|bias)", "norm"),
)
PUBLISHED_RULES = (
    Rule(r"(adapter_\d|layer_\d)/conv/kernel", r"\1.weight", CONV),
    *norm(r"(adapter_\d|layer_\d)/norm", r"\1.norm"),
    *affine(r"mask_features", r"mask_features", CONV),
)


def huggingface_conv_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Make the rules of a convolution with group norm, which theirs numbers 0 and 1."""
    return (
        Rule(f"{ours}/conv/kernel", f"{theirs}.0.weight", CONV),
        *norm(f"{ours}/norm", f"{theirs}.1"),
    )


# Theirs counts from the deepest map on, ours from the finest.
HUGGINGFACE_RULES = (
    *huggingface_conv_rules("layer_4", "fpn.stem"),
    *(
        rule
        for i in (1, 2, 3)
        for rule in (
            *huggingface_conv_rules(f"adapter_{i}", f"fpn.layers.{3 - i}.proj"),
            *huggingface_conv_rules(f"layer_{i}", f"fpn.layers.{3 - i}.block"),
        )
    ),
    *affine("mask_features", "mask_projection", CONV),
)


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> FPNConfig:
    """The config for the values of a Hugging Face `config.json`."""
    del problems
    return FPNConfig(
        conv_dim=int(values.get("fpn_feature_size", 256)),
        mask_dim=int(values.get("mask_feature_size", 256)),
    )


def describe_huggingface(config: FPNConfig) -> dict[str, Any]:
    """The values in a Hugging Face `config.json`."""
    return {"fpn_feature_size": config.conv_dim, "mask_feature_size": config.mask_dim}
