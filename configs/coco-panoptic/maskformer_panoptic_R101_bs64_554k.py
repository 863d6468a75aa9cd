r"""MaskFormer with ResNet-101 and six encoder layers on COCO panoptic, as published (table 3).

    python train.py --workdir=runs/coco_panoptic \
        --config=configs/coco-panoptic/maskformer_panoptic_R101_bs64_554k.py

Data: datasets/coco (docs/datasets.md).
ImageNet weights: weights/R-101.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 64 GPUs, one image and 27.4 GB each.
Expected: PQ 47.6.
"""

from maskformer_jax.config import Config, ResNetConfig, TransformerFPNConfig
from maskformer_jax.recipes import coco_panoptic


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = coco_panoptic()
    config.model.backbone = ResNetConfig(depth=101)
    config.model.pixel_decoder = TransformerFPNConfig()
    config.train.init_backbone = "weights/R-101.pkl"
    return config
