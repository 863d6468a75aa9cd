"""All backbones by their `type`. A new one needs a folder and a line here."""

from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.parts.backbones.resnet.config import ResNetConfig
from maskformer_jax.parts.backbones.swin.config import SwinConfig

BACKBONES: dict[str, type[BackboneConfig]] = {
    "resnet": ResNetConfig,
    "swin": SwinConfig,
}
