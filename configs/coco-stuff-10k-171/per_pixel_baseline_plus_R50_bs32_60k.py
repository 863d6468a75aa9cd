r"""PerPixelBaseline+ with ResNet-50 on COCO-Stuff-10K, as published (arXiv 2107.06278, table II).

    python train.py --workdir=runs/coco_stuff \
        --config=configs/coco-stuff-10k-171/per_pixel_baseline_plus_R50_bs32_60k.py

Data: datasets/coco_stuff_10k (docs/datasets.md).
ImageNet weights: weights/R-50.pkl (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: published with 8 GPUs, four images and 18.2 GB each.
Expected: mIoU 34.2 (35.8 with multi-scale inference and flipping).
"""

from maskformer_jax.config import Config, MaskFormerDecoderConfig, ResNetConfig
from maskformer_jax.recipes import coco_stuff_10k_171


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    config = coco_stuff_10k_171()
    config.model.head = "per_pixel_plus"
    config.model.backbone = ResNetConfig(depth=50)
    config.model.transformer_decoder = MaskFormerDecoderConfig(num_queries=171)
    config.model.size_divisibility = 0
    config.train.init_backbone = "weights/R-50.pkl"
    return config
