"""The configuration of a run, its checks, and its reading and writing."""

from maskformer_jax.config.data import AugmentConfig, DataConfig
from maskformer_jax.config.evaluation import EvalConfig, TTAConfig
from maskformer_jax.config.loss import LossConfig
from maskformer_jax.config.model import ModelConfig
from maskformer_jax.config.optim import OptimConfig
from maskformer_jax.config.schema import Config
from maskformer_jax.config.train import DistributedConfig, MeshConfig, TrainConfig
from maskformer_jax.parts.backbones.base import BackboneConfig
from maskformer_jax.parts.backbones.resnet.config import ResNetConfig
from maskformer_jax.parts.backbones.swin.config import SwinConfig
from maskformer_jax.parts.pixel_decoders.base import PixelDecoderConfig
from maskformer_jax.parts.pixel_decoders.fpn.config import FPNConfig
from maskformer_jax.parts.pixel_decoders.transformer_fpn.config import TransformerFPNConfig
from maskformer_jax.parts.transformer_decoders.base import TransformerDecoderConfig
from maskformer_jax.parts.transformer_decoders.maskformer.config import MaskFormerDecoderConfig
from maskformer_jax.types import Size

__all__ = [
    "AugmentConfig",
    "BackboneConfig",
    "Config",
    "DataConfig",
    "DistributedConfig",
    "EvalConfig",
    "FPNConfig",
    "LossConfig",
    "MaskFormerDecoderConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimConfig",
    "PixelDecoderConfig",
    "ResNetConfig",
    "Size",
    "SwinConfig",
    "TTAConfig",
    "TrainConfig",
    "TransformerDecoderConfig",
    "TransformerFPNConfig",
]
