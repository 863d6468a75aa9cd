r"""MaskFormer with ResNet-50 and six encoder layers on COCO panoptic, as published (table 3).

    python train.py --workdir=runs/coco_panoptic \
        --config=configs/coco-panoptic/maskformer_panoptic_R50_bs64_554k.py

Data: datasets/coco (docs/datasets.md).
ImageNet weights: weights/R-50.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 64 GPUs, one image and 22.6 GB each.
Expected: PQ 46.5.
"""

from maskformer_jax.config import Config, ResNetConfig, TransformerFPNConfig
from maskformer_jax.recipes import coco_panoptic


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = coco_panoptic()
    config.model.backbone = ResNetConfig(depth=50)
    config.model.pixel_decoder = TransformerFPNConfig()
    config.train.init_backbone = "weights/R-50.pkl"
    return config
