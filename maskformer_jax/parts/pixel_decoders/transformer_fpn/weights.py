"""Weights of the pixel decoder with a transformer encoder."""

from collections.abc import Mapping
from typing import Any

from maskformer_jax.parts.part import DecayRows
from maskformer_jax.parts.pixel_decoders.fpn import weights as fpn
from maskformer_jax.parts.transformer_names import TRANSFORMER_LAYER_RULES, stack_decay_rows
from maskformer_jax.tensor_rules.rules import CONV, affine, norm, number

DECAY_ROWS: DecayRows = (*fpn.DECAY_ROWS, *stack_decay_rows("encoder/"))
PUBLISHED_RULES = (
    *fpn.PUBLISHED_RULES,
    *affine(r"encoder/input_proj", r"input_proj", CONV),
    *norm(r"encoder/norm", r"transformer.encoder.norm"),
    *number(
        TRANSFORMER_LAYER_RULES,
        ours=r"encoder/layer_(\d+)/",
        theirs=r"transformer.encoder.layers.\1.",
    ),
)
HUGGINGFACE_RULES = None


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> Any:
    """Hugging Face has no such pixel decoder."""
    raise NotImplementedError


def describe_huggingface(config: Any) -> dict[str, Any]:
    """Hugging Face has no such pixel decoder."""
    raise NotImplementedError
