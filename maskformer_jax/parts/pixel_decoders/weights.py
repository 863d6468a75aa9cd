"""The contents of a pixel decoder's `weights.py`: foreign names and optimizer groups."""

from typing import Any, Protocol, cast, runtime_checkable

from maskformer_jax.parts.part import DecayRows, weights_module
from maskformer_jax.parts.pixel_decoders.base import PixelDecoderConfig
from maskformer_jax.tensor_rules.rules import Rule


@runtime_checkable
class PixelDecoderWeights(Protocol):
    """The names in the `weights.py` of a pixel decoder. Paths and names start below the part."""

    DECAY_ROWS: DecayRows
    PUBLISHED_RULES: tuple[Rule, ...]
    HUGGINGFACE_RULES: tuple[Rule, ...] | None  # None: Hugging Face has no such pixel decoder

    def read_huggingface(self, values: Any, problems: list[str]) -> Any:
        """The config for the values of a Hugging Face `config.json`."""

    def describe_huggingface(self, config: Any) -> dict[str, Any]:
        """The values in a Hugging Face `config.json`."""


def pixel_decoder_weights(kind: type[PixelDecoderConfig]) -> PixelDecoderWeights:
    """The `weights.py` of a pixel decoder."""
    return cast(PixelDecoderWeights, weights_module(kind))
