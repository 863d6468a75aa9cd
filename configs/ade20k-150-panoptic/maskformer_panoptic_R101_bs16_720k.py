r"""MaskFormer with ResNet-101 and six encoder layers on ADE20K panoptic, as published (table VI).

    python train.py --workdir=runs/ade20k_panoptic \
        --config=configs/ade20k-150-panoptic/maskformer_panoptic_R101_bs16_720k.py

The data is looked for in datasets/ADEChallengeData2016 (other places: --config.data.root), the
ImageNet weights in weights/R-101.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, two images and 16.5 GB each.
Expected: PQ 35.7.
"""

from maskformer_jax.config import Config, TransformerFPNConfig
from maskformer_jax.recipes import ade20k_panoptic, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = ade20k_panoptic()
    use_backbone(config, "R101")
    config.model.pixel_decoder = TransformerFPNConfig()
    return config
