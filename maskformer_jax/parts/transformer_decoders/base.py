"""The settings that every transformer decoder has."""

from dataclasses import dataclass

from maskformer_jax.parts.part import PartConfig


@dataclass(slots=True, kw_only=True)
class TransformerDecoderConfig(PartConfig):
    """Settings of a transformer decoder."""

    num_queries: int = 100  # N, the pairs of class and mask that are predicted
    deep_supervision: bool = True  # predict after every layer, for the losses; else after the last
