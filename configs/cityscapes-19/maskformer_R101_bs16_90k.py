r"""MaskFormer with ResNet-101 on Cityscapes, as published (arXiv 2107.06278, table III).

    python train.py --workdir=runs/cityscapes \
        --config=configs/cityscapes-19/maskformer_R101_bs16_90k.py

Data: datasets/cityscapes (docs/datasets.md).
ImageNet weights: weights/R-101.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 7.0 GB each.
Expected: mIoU 78.5 (80.3 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import cityscapes_19


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = cityscapes_19()
    config.model.backbone = ResNetConfig(depth=101)
    config.train.init_backbone = "weights/R-101.pkl"
    return config
