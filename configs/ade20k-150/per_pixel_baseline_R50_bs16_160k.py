r"""PerPixelBaseline with ResNet-50 on ADE20K SceneParse150, as published (table 2).

    python train.py --workdir=runs/ade20k \
        --config=configs/ade20k-150/per_pixel_baseline_R50_bs16_160k.py

The data is looked for in datasets/ADEChallengeData2016 (other places: --config.data.root), the
ImageNet weights in weights/R-50.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 2.5 GB each.
Expected: mIoU 39.2 (40.9 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import ade20k_150, use_backbone, use_per_pixel_baseline


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_150()
    use_backbone(config, "R50")
    use_per_pixel_baseline(config)
    return config
