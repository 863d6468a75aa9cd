"""What several configs share. A config is one of these recipes and its differences."""

from collections.abc import Callable

from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    EvalConfig,
    ResNetConfig,
    Size,
    SwinConfig,
    TrainConfig,
)

# detectron2's conversion of torchvision's ImageNet-1k ResNet-50.
RESNET50_WEIGHTS = "weights/R-50.pkl"


def ade20k_150() -> Config:
    """ADE20K SceneParse150 with 512 x 512 crops for 160k steps (paper section 4.1)."""
    return Config(
        data=DataConfig(
            dataset="ade20k-150",
            root="datasets/ADEChallengeData2016",
            train_split="training",
            eval_split="validation",
            num_segments=150,
            augment=semantic_augment(512, crop_size=(512, 512), max_size=2048),
        ),
        train=TrainConfig(num_steps=160_000, batch_size=16),
        eval=EvalConfig(short_edge=512, max_size=2048),
    )


def semantic_augment(base: int, *, crop_size: Size, max_size: int) -> AugmentConfig:
    """The published augmentation: the shorter side is 0.5, 0.6, ... or 2.0 times `base`."""
    return AugmentConfig(
        short_edges=tuple(base * tenths // 10 for tenths in range(5, 21)),
        max_size=max_size,
        crop_size=crop_size,
    )


def resnet50() -> ResNetConfig:
    """ResNet-50 (R50)."""
    return ResNetConfig(depth=50)


def resnet101() -> ResNetConfig:
    """ResNet-101 (R101)."""
    return ResNetConfig(depth=101)


def resnet101c() -> ResNetConfig:
    """DeepLab's ResNet-101 (R101c): three convolutions in the stem and a dilated res5."""
    return ResNetConfig(depth=101, stem="deeplab", res5_dilations=(1, 2, 4))


def swin_tiny() -> SwinConfig:
    """Swin-T."""
    return SwinConfig(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window=7)


def swin_small() -> SwinConfig:
    """Swin-S."""
    return SwinConfig(embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window=7)


def swin_base() -> SwinConfig:
    """Swin-B with the windows of its ImageNet-22k weights for 384 x 384 pixels."""
    return SwinConfig(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window=12)


def swin_large() -> SwinConfig:
    """Swin-L with the windows of its ImageNet-22k weights for 384 x 384 pixels."""
    return SwinConfig(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window=12)


BACKBONES: dict[str, Callable[[], ResNetConfig | SwinConfig]] = {
    "R50": resnet50,
    "R101": resnet101,
    "R101c": resnet101c,
    "swin_tiny": swin_tiny,
    "swin_small": swin_small,
    "swin_base": swin_base,
    "swin_large": swin_large,
}
