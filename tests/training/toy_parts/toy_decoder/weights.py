"""Weights of the toy decoder."""

from collections.abc import Mapping
from typing import Any

from maskformer_jax.tensor_rules.rules import VECTOR, Rule, affine
from toy_parts.toy_decoder.config import ToyDecoderConfig

DECAY_ROWS = ((r"queries", "embed"), (r"(see|mask|class)/(kernel|bias)", "weight"))
PUBLISHED_RULES = (
    Rule("queries", "queries.weight", VECTOR),
    *affine(r"(see|mask|class)", r"\1_layer"),
)
HUGGINGFACE_RULES = None
HUGGINGFACE_RENAMES = ()


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> ToyDecoderConfig:
    raise NotImplementedError


def describe_huggingface(config: ToyDecoderConfig) -> dict[str, Any]:
    raise NotImplementedError


def huggingface_gaps(config: ToyDecoderConfig, *, in_channels: int) -> dict[str, tuple[Any, Any]]:
    return {}
