r"""MaskFormer with Swin-L (ImageNet-22k) on COCO panoptic, as published (table 3).

    python train.py --workdir=runs/coco_panoptic \
        --config=configs/coco-panoptic/swin/maskformer_panoptic_swin_large_IN21k_384_bs64_554k.py

The data is looked for in datasets/coco (other places: --config.data.root), the ImageNet weights in
weights/swin_large_patch4_window12_384_22k.pkl (--config.train.init_backbone).

Cost: published with 64 GPUs, one image and 23.3 GB each.
Expected: PQ 52.7.
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import coco_panoptic, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = coco_panoptic()
    use_backbone(config, "swin_large")
    config.model.transformer_decoder.enforce_input_proj = True
    config.data.augment.max_size = 1000
    return config
