r"""MaskFormer with ResNet-101 and six encoder layers on COCO panoptic, as published (table 3).

    python train.py --workdir=runs/coco_panoptic \
        --config=configs/coco-panoptic/maskformer_panoptic_R101_bs64_554k.py

The data is looked for in datasets/coco (other places: --config.data.root), the ImageNet weights in
weights/R-101.pkl (--config.train.init_backbone).

Cost: published with 64 GPUs, one image and 27.4 GB each.
Expected: PQ 47.6.
"""

from maskformer_jax.config import Config, TransformerFPNConfig
from maskformer_jax.recipes import coco_panoptic, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = coco_panoptic()
    use_backbone(config, "R101")
    config.model.pixel_decoder = TransformerFPNConfig()
    return config
