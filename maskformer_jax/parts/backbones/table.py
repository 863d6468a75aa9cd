"""The backbones there are, by the `type` in their config. A new one is a folder and a line here."""

import dataclasses

from maskformer_jax.parts.backbones.base import BackboneConfig, backbone_weights
from maskformer_jax.parts.backbones.resnet.config import ResNetConfig
from maskformer_jax.parts.backbones.swin.config import SwinConfig

BACKBONES: dict[str, type[BackboneConfig]] = {
    "resnet": ResNetConfig,
    "swin": SwinConfig,
}


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
