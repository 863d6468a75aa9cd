r"""MaskFormer with ResNet-50 on a part of COCO panoptic at a third of its size: for two CPU cores.

    python train.py --workdir=runs/coco_panoptic_cpu \
        --config=configs/coco-panoptic/maskformer_panoptic_R50_cpu.py

Against maskformer_panoptic_R50_bs64_554k.py: shorter sides of 192 to 256, four images a step, no
encoder layers, half as wide a pixel decoder, three decoder layers, and an ImageNet stem and res2
that stay as they are. Data and weights are looked for in the folder `shared` beside the repository;
for another place set --config.data.root and --config.train.init_backbone.

A few hundred images cannot teach 133 categories: this runs the whole panoptic path on real files.
"""

from pathlib import Path

from maskformer_jax.config import Config, FPNConfig
from maskformer_jax.config.io import load_config


def get_config() -> Config:
    """This recipe, a new object at each call."""
    config = load_config(Path(__file__).with_name("maskformer_panoptic_R50_bs64_554k.py"))
    config.model.backbone.stride_in_1x1 = True
    config.model.backbone.freeze_at = 2
    config.model.pixel_decoder = FPNConfig(conv_dim=128, mask_dim=128)
    config.model.transformer_decoder.num_layers = 3
    config.model.transformer_decoder.ffn_dim = 1024
    config.model.transformer_decoder.dropout = 0.0
    config.model.size_divisibility = 32
    config.data.root = "../shared/data/coco_panoptic"
    config.data.num_segments = 64
    augment = config.data.augment
    augment.short_edges = (192, 208, 224, 240, 256)
    augment.max_size = 448
    augment.pre_crop_short_edges = (160, 200, 240)
    augment.crop_size = (128, 240)
    augment.buckets = ((256, 352), (352, 256), (256, 448), (448, 256))
    config.optim.learning_rate = 4e-4
    config.optim.backbone_multiplier = 0.25
    config.optim.milestones = (900,)
    config.optim.warmup_steps = 50
    config.optim.warmup_factor = 0.1
    config.train.init_backbone = "../shared/weights/resnet50_imagenet_caffe.npz"
    config.train.init_backbone_format = "caffe"
    config.train.num_steps = 1_000
    config.train.batch_size = 4
    config.train.log_every = 20
    config.train.checkpoint_every = 250
    config.train.eval_every = 500
    config.eval.short_edge = 256
    config.eval.max_size = 448
    return config
