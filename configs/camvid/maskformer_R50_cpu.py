"""MaskFormer with ResNet-50 on CamVid at half resolution: a recipe for two CPU cores.

    python train.py --config=configs/camvid/maskformer_R50_cpu.py --workdir=runs/camvid_cpu

Smaller than maskformer_R50.py: 192 x 256 crops, four images a step, a pixel decoder of half the
width, three decoder layers, thirty queries, and a frozen stem and res2.

Data: datasets/camvid (docs/datasets.md).
ImageNet weights: weights/resnet50_imagenet_caffe.npz (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: about half an hour on two cores.
Expected: docs/results.md.
"""

from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    EvalConfig,
    FPNConfig,
    MaskFormerDecoderConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    TrainConfig,
)


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    return Config(
        model=ModelConfig(
            backbone=ResNetConfig(depth=50, stride_in_1x1=True, freeze_at=2),
            pixel_decoder=FPNConfig(conv_dim=128, mask_dim=128),
            transformer_decoder=MaskFormerDecoderConfig(
                num_queries=30, num_layers=3, ffn_dim=1024, dropout=0.0
            ),
        ),
        data=DataConfig(
            dataset="camvid",
            root="datasets/camvid",
            train_split="train",
            eval_split="val",
            num_segments=11,
            augment=AugmentConfig(
                short_edges=(180, 216, 252, 288), max_size=2048, crop_size=(192, 256)
            ),
        ),
        optim=OptimConfig(
            learning_rate=4e-4, backbone_multiplier=0.25, warmup_steps=50, warmup_factor=0.1
        ),
        train=TrainConfig(
            num_steps=1_400,
            batch_size=4,
            init_backbone="weights/resnet50_imagenet_caffe.npz",
            init_backbone_format="caffe",
            log_every=20,
            checkpoint_every=350,
            eval_every=350,
        ),
        eval=EvalConfig(short_edge=216, max_size=288),
    )
