r"""MaskFormer with Swin-S on ADE20K SceneParse150, as published (arXiv 2107.06278, table 1).

    python train.py --workdir=runs/ade20k \
        --config=configs/ade20k-150/swin/maskformer_swin_small_bs16_160k.py

The data is looked for in datasets/ADEChallengeData2016 (other places: --config.data.root), the
ImageNet weights in weights/swin_small_patch4_window7_224.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 6.3 GB each.
Expected: mIoU 49.8 (51.0 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import ade20k_150, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_150()
    use_backbone(config, "swin_small")
    return config
