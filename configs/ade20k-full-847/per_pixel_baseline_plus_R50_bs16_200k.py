r"""PerPixelBaseline+ with ResNet-50 on ADE20K-Full with 847 classes, as published (table II).

    python train.py --workdir=runs/ade20k_full \
        --config=configs/ade20k-full-847/per_pixel_baseline_plus_R50_bs16_200k.py

The data is looked for in datasets/ADE20K_2021_17_01 (other places: --config.data.root), the
ImageNet weights in weights/R-50.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 26.7 GB each.
Expected: mIoU 13.9.
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import ade20k_full_847, use_backbone, use_per_pixel_baseline


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_full_847()
    use_backbone(config, "R50")
    use_per_pixel_baseline(config, plus_queries=847)
    return config
