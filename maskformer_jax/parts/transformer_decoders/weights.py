"""The contents of a transformer decoder's `weights.py`: foreign names and optimizer groups."""

from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

from maskformer_jax.parts.part import DecayRows, weights_module
from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.tensor_rules.rules import Rule


@runtime_checkable
class TransformerDecoderWeights(Protocol):
    """The names in the `weights.py` of a decoder. Our paths start below the part."""

    DECAY_ROWS: DecayRows
    PUBLISHED_RULES: tuple[Rule, ...]  # names below "sem_seg_head.predictor."
    # Whole names; None: Hugging Face has no such decoder.
    HUGGINGFACE_RULES: tuple[Rule, ...] | None
    HUGGINGFACE_RENAMES: tuple[tuple[str, str], ...]  # spellings of some versions to these names

    def read_huggingface(self, values: Mapping[str, Any], problems: list[str]) -> Any:
        """The config for a `decoder_config`; appends unsupported values to `problems`."""

    def describe_huggingface(self, config: Any) -> dict[str, Any]:
        """The `decoder_config` of a config."""

    def huggingface_gaps(self, config: Any, *, in_channels: int) -> dict[str, tuple[Any, Any]]:
        """Fields that Hugging Face's module lacks: (our value, the only value it supports)."""


def transformer_decoder_weights(
    kind: type[TransformerDecoderConfig],
) -> TransformerDecoderWeights:
    """The `weights.py` of a transformer decoder."""
    return cast(TransformerDecoderWeights, weights_module(kind))
