r"""MaskFormer with ResNet-101c on ADE20K-Full with 847 classes, as published (table II).

    python train.py --workdir=runs/ade20k_full \
        --config=configs/ade20k-full-847/maskformer_R101c_bs16_200k.py

The data is looked for in datasets/ADE20K_2021_17_01 (other places: --config.data.root), the
ImageNet weights in weights/R-103.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 6.9 GB each.
Expected: mIoU 17.4.
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import ade20k_full_847, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_full_847()
    use_backbone(config, "R101c")
    return config
