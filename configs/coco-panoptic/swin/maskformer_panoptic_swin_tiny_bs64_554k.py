r"""MaskFormer with Swin-T on COCO panoptic, as published (arXiv 2107.06278, table 3).

    python train.py --workdir=runs/coco_panoptic \
        --config=configs/coco-panoptic/swin/maskformer_panoptic_swin_tiny_bs64_554k.py

The data is looked for in datasets/coco (other places: --config.data.root), the ImageNet weights in
weights/swin_tiny_patch4_window7_224.pkl (--config.train.init_backbone).

Cost: published with 64 GPUs, one image and 20.0 GB each.
Expected: PQ 47.7.
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import coco_panoptic, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = coco_panoptic()
    use_backbone(config, "swin_tiny")
    config.model.transformer_decoder.enforce_input_proj = True
    return config
