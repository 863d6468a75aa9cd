r"""MaskFormer with Swin-B (ImageNet-22k) on COCO panoptic, as published (table 3).

    python train.py --workdir=runs/coco_panoptic \
        --config=configs/coco-panoptic/swin/maskformer_panoptic_swin_base_IN21k_384_bs64_554k.py

Data: datasets/coco (docs/datasets.md).
ImageNet weights: weights/swin_base_patch4_window12_384_22k.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 64 GPUs, one image and 24.4 GB each.
Expected: PQ 51.8.
"""

from maskformer_jax.config import Config, MaskFormerDecoderConfig, SwinConfig
from maskformer_jax.recipes import coco_panoptic


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = coco_panoptic()
    config.model.backbone = SwinConfig(
        embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window=12
    )
    config.model.transformer_decoder = MaskFormerDecoderConfig(enforce_input_proj=True)
    config.optim.learning_rate = 6e-5
    config.optim.backbone_multiplier = 1.0
    config.optim.weight_decay = 1e-2
    config.optim.warmup_steps = 1_500
    config.optim.warmup_factor = 1e-6
    config.train.init_backbone = "weights/swin_base_patch4_window12_384_22k.pkl"
    return config
