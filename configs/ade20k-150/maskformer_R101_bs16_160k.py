"""MaskFormer with ResNet-101 on ADE20K SceneParse150, as published (arXiv 2107.06278, table 1).

    python train.py --config=configs/ade20k-150/maskformer_R101_bs16_160k.py --workdir=runs/ade20k

Data: datasets/ADEChallengeData2016 (docs/datasets.md).
ImageNet weights: weights/R-101.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 4.9 GB each.
Expected: mIoU 45.5 (47.2 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import ade20k_150


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_150()
    config.model.backbone = ResNetConfig(depth=101)
    config.train.init_backbone = "weights/R-101.pkl"
    return config
