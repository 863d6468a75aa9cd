"""What several configs share. A config is one of these recipes and its differences."""

from maskformer_jax.config import AugmentConfig, Config, DataConfig, EvalConfig, Size, TrainConfig

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
