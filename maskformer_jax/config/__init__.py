"""The configuration of a run, its checks, and its reading and writing."""

from maskformer_jax.config.schema import (
    AugmentConfig,
    Config,
    DataConfig,
    DistributedConfig,
    EvalConfig,
    LossConfig,
    MeshConfig,
    ModelConfig,
    OptimConfig,
    PixelDecoderConfig,
    ResNetConfig,
    Size,
    SwinConfig,
    TrainConfig,
    TransformerDecoderConfig,
    TTAConfig,
)

__all__ = [
    "AugmentConfig",
    "Config",
    "DataConfig",
    "DistributedConfig",
    "EvalConfig",
    "LossConfig",
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
]
