r"""MaskFormer with ResNet-101 on COCO-Stuff-10K, as published (arXiv 2107.06278, table II).

    python train.py --workdir=runs/coco_stuff \
        --config=configs/coco-stuff-10k-171/maskformer_R101_bs32_60k.py

The data is looked for in datasets/coco_stuff_10k (other places: --config.data.root), the ImageNet
weights in weights/R-101.pkl (--config.train.init_backbone).

Cost: published with 8 GPUs, four images and 10.1 GB each.
Expected: mIoU 38.1 (39.8 with several scales and flipping).
"""

from maskformer_jax.config import Config
from maskformer_jax.recipes import coco_stuff_10k_171, use_backbone


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = coco_stuff_10k_171()
    use_backbone(config, "R101")
    return config
