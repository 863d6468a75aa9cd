r"""PerPixelBaseline with ResNet-50 on ADE20K SceneParse150, as published (table 2).

    python train.py --workdir=runs/ade20k \
        --config=configs/ade20k-150/per_pixel_baseline_R50_bs16_160k.py

Data: datasets/ADEChallengeData2016 (docs/datasets.md).
ImageNet weights: weights/R-50.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 2.5 GB each.
Expected: mIoU 39.2 (40.9 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import ade20k_150


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_150()
    config.model.head = "per_pixel"
    config.model.backbone = ResNetConfig(depth=50)
    config.model.size_divisibility = 0
    config.train.init_backbone = "weights/R-50.pkl"
    return config
