r"""MaskFormer with ResNet-50 on Mapillary Vistas, as published (arXiv 2107.06278, table IV).

    python train.py --workdir=runs/mapillary \
        --config=configs/mapillary-vistas-65/maskformer_R50_bs16_300k.py

The data is looked for in datasets/mapillary_vistas (other places: --config.data.root), the ImageNet
weights in weights/R-50.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 15.8 GB each.
Expected: mIoU 53.1 (55.4 with several scales and flipping).

Several scales here means 0.5, 1.0 and 1.5 times a longer side of 2048, which `eval.tta` cannot say:
its sizes are those of the shorter side.
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import mapillary_vistas_65, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = mapillary_vistas_65()
    use_backbone(config, "R50")
    return config
