r"""MaskFormer with Swin-S on ADE20K SceneParse150, as published (arXiv 2107.06278, table 1).

    python train.py --workdir=runs/ade20k \
        --config=configs/ade20k-150/swin/maskformer_swin_small_bs16_160k.py

Data: datasets/ADEChallengeData2016 (docs/datasets.md).
ImageNet weights: weights/swin_small_patch4_window7_224.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, two images and 6.3 GB each.
Expected: mIoU 49.8 (51.0 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.recipes import ade20k_150


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = ade20k_150()
    config.model.backbone = SwinConfig(
        embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window=7
    )
    config.optim.learning_rate = 6e-5
    config.optim.backbone_multiplier = 1.0
    config.optim.weight_decay = 1e-2
    config.optim.warmup_steps = 1_500
    config.optim.warmup_factor = 1e-6
    config.train.init_backbone = "weights/swin_small_patch4_window7_224.pkl"
    return config
