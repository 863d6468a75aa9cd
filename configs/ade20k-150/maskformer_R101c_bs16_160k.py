"""MaskFormer with ResNet-101c on ADE20K SceneParse150, as published (arXiv 2107.06278, table 1).

    python train.py --config=configs/ade20k-150/maskformer_R101c_bs16_160k.py --workdir=runs/ade20k

Data: datasets/ADEChallengeData2016 (docs/datasets.md).
ImageNet weights: weights/R-103.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 5.0 GB each.
Expected: mIoU 46.0 (48.1 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import ade20k_150


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_150()
    config.model.backbone = ResNetConfig(depth=101, stem="deeplab", res5_dilations=(1, 2, 4))
    config.train.init_backbone = "weights/R-103.pkl"
    return config
