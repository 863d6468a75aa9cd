r"""MaskFormer with ResNet-50 and six encoder layers on ADE20K panoptic, as published (table VI).

    python train.py --workdir=runs/ade20k_panoptic \
        --config=configs/ade20k-150-panoptic/maskformer_panoptic_R50_bs16_720k.py

Data: datasets/ADEChallengeData2016 (docs/datasets.md).
ImageNet weights: weights/R-50.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 15.9 GB each.
Expected: PQ 34.7.
"""

from maskformer_jax.config import Config, ResNetConfig, TransformerFPNConfig
from maskformer_jax.recipes import ade20k_panoptic


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_panoptic()
    config.model.backbone = ResNetConfig(depth=50)
    config.model.pixel_decoder = TransformerFPNConfig()
    config.train.init_backbone = "weights/R-50.pkl"
    return config
