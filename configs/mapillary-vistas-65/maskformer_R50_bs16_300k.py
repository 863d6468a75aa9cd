r"""MaskFormer with ResNet-50 on Mapillary Vistas, as published (arXiv 2107.06278, table IV).

    python train.py --workdir=runs/mapillary \
        --config=configs/mapillary-vistas-65/maskformer_R50_bs16_300k.py

Data: datasets/mapillary_vistas (docs/datasets.md).
ImageNet weights: weights/R-50.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 15.8 GB each.
Expected: mIoU 53.1 (55.4 with multi-scale inference and flipping).

The published scales are 0.5, 1.0 and 1.5 times a longer side of 2048, which `eval.tta` cannot
express: its sizes are those of the shorter side.
"""

from maskformer_jax.config import Config, ResNetConfig
from maskformer_jax.recipes import mapillary_vistas_65


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = mapillary_vistas_65()
    config.model.backbone = ResNetConfig(depth=50)
    config.train.init_backbone = "weights/R-50.pkl"
    return config
