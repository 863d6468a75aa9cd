r"""MaskFormer with Swin-B (ImageNet-22k) on ADE20K SceneParse150, as published (table 1).

    python train.py --workdir=runs/ade20k \
        --config=configs/ade20k-150/swin/maskformer_swin_base_IN21k_384_bs16_160k_res640.py

The data is looked for in datasets/ADEChallengeData2016 (other places: --config.data.root), the
ImageNet weights in weights/swin_base_patch4_window12_384_22k.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 12.9 GB each.
Expected: mIoU 52.7 (53.9 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import ade20k_150, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_150(crop=640)
    use_backbone(config, "swin_base")
    return config
