"""MaskFormer with ResNet-101c on ADE20K SceneParse150, as published (arXiv 2107.06278, table 1).

    python train.py --config=configs/ade20k-150/maskformer_R101c_bs16_160k.py --workdir=runs/ade20k

The data is looked for in datasets/ADEChallengeData2016 (other places: --config.data.root), the
ImageNet weights in weights/R-103.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 5.0 GB each.
Expected: mIoU 46.0 (48.1 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import ade20k_150, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_150()
    use_backbone(config, "R101c")
    return config
