"""Which dataclasses a section of the config may hold."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.parts.backbones.table import BACKBONES
from maskformer_jax.parts.pixel_decoders.base import PixelDecoderConfig
from maskformer_jax.parts.pixel_decoders.table import PIXEL_DECODERS
from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.parts.transformer_decoders.table import TRANSFORMER_DECODERS

# The parts of the model: a section is typed with the base class and holds one of the kinds.
KINDS: dict[type, Mapping[str, type]] = {
    BackboneConfig: BACKBONES,
    PixelDecoderConfig: PIXEL_DECODERS,
    TransformerDecoderConfig: TRANSFORMER_DECODERS,
}


def section_kinds(hint: Any) -> Mapping[str, type]:
    """The kinds of section that a field typed `hint` may hold, by their `type`.

    A section of one kind only goes by the empty name; a single value has no kinds.
    """
    if hint in KINDS:
        return KINDS[hint]
    return {"": hint} if is_dataclass(hint) and isinstance(hint, type) else {}
