r"""MaskFormer with ResNet-101c on COCO-Stuff-10K, as published (arXiv 2107.06278, table II).

    python train.py --workdir=runs/coco_stuff \
        --config=configs/coco-stuff-10k-171/maskformer_R101c_bs32_60k.py

Data: datasets/coco_stuff_10k (docs/datasets.md).
ImageNet weights: weights/R-103.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, four images and 9.9 GB each.
Expected: mIoU 38.0 (39.3 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import coco_stuff_10k_171


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = coco_stuff_10k_171()
    config.model.backbone = ResNetConfig(depth=101, stem="deeplab", res5_dilations=(1, 2, 4))
    config.train.init_backbone = "weights/R-103.pkl"
    return config
