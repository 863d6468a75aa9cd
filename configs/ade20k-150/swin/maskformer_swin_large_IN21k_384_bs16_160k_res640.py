r"""MaskFormer with Swin-L (ImageNet-22k) on ADE20K SceneParse150, as published (table 1).

    python train.py --workdir=runs/ade20k \
        --config=configs/ade20k-150/swin/maskformer_swin_large_IN21k_384_bs16_160k_res640.py

Data: datasets/ADEChallengeData2016 (docs/datasets.md).
ImageNet weights: weights/swin_large_patch4_window12_384_22k.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 18.1 GB each.
Expected: mIoU 54.1 (55.6 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.recipes import ade20k_150


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_150(crop=640)
    config.model.backbone = SwinConfig(
        embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window=12
    )
    config.optim.learning_rate = 6e-5
    config.optim.backbone_multiplier = 1.0
    config.optim.weight_decay = 1e-2
    config.optim.warmup_steps = 1_500
    config.optim.warmup_factor = 1e-6
    config.train.init_backbone = "weights/swin_large_patch4_window12_384_22k.pkl"
    return config
