r"""PerPixelBaseline with ResNet-50 on COCO-Stuff-10K, as published (arXiv 2107.06278, table II).

    python train.py --workdir=runs/coco_stuff \
        --config=configs/coco-stuff-10k-171/per_pixel_baseline_R50_bs32_60k.py

The data is looked for in datasets/coco_stuff_10k (other places: --config.data.root), the ImageNet
weights in weights/R-50.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, four images and 6.9 GB each.
Expected: mIoU 32.4 (34.4 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import coco_stuff_10k_171, use_backbone, use_per_pixel_baseline


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = coco_stuff_10k_171()
    use_backbone(config, "R50")
    use_per_pixel_baseline(config)
    return config
