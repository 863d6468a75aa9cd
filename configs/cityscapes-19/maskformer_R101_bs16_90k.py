r"""MaskFormer with ResNet-101 on Cityscapes, as published (arXiv 2107.06278, table III).

    python train.py --workdir=runs/cityscapes \
        --config=configs/cityscapes-19/maskformer_R101_bs16_90k.py

The data is looked for in datasets/cityscapes (other places: --config.data.root), the ImageNet
weights in weights/R-101.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 7.0 GB each.
Expected: mIoU 78.5 (80.3 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import cityscapes_19, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = cityscapes_19()
    use_backbone(config, "R101")
    return config
