"""Backbones by the names that papers give them."""

import dataclasses

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.parts.backbones.table import BACKBONES
from maskformer_jax.parts.backbones.weights import backbone_weights


def make_variant(name: str) -> BackboneConfig:
    """A new config of a variant, such as "R50" or "swin_tiny".

    Raises:
        KeyError: no backbone has a variant of this name.
    """
    for kind in BACKBONES.values():
        variants = backbone_weights(kind).VARIANTS
        if name in variants:
            return dataclasses.replace(variants[name].config)
    raise KeyError(name)
