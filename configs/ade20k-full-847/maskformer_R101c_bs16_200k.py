r"""MaskFormer with ResNet-101c on ADE20K-Full with 847 classes, as published (table II).

    python train.py --workdir=runs/ade20k_full \
        --config=configs/ade20k-full-847/maskformer_R101c_bs16_200k.py

Data: datasets/ADE20K_2021_17_01 (docs/datasets.md).
ImageNet weights: weights/R-103.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 6.9 GB each.
Expected: mIoU 17.4.
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import ade20k_full_847


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_full_847()
    config.model.backbone = ResNetConfig(depth=101, stem="deeplab", res5_dilations=(1, 2, 4))
    config.train.init_backbone = "weights/R-103.pkl"
    return config
