r"""MaskFormer with ResNet-50 on a part of COCO panoptic at a third of its size: for two CPU cores.

    python train.py --workdir=runs/coco_panoptic_cpu \
        --config=configs/coco-panoptic/maskformer_panoptic_R50_cpu.py

Smaller than maskformer_panoptic_R50_bs64_554k.py: shorter sides of 192 to 256, four images a step,
no transformer encoder, a pixel decoder of half the width, three decoder layers, and a frozen stem
and res2.

Data: datasets/coco, in the layout of COCO panoptic (docs/datasets.md).
ImageNet weights: weights/resnet50_imagenet_caffe.npz (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: 25 minutes for 300 steps on two shared cores (docs/results.md).
Expected: a few hundred images cannot teach 133 categories; this runs the whole panoptic path on
real files. docs/results.md has the scores of eight images it was overfitted to.
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
            transformer_decoder=MaskFormerDecoderConfig(num_layers=3, ffn_dim=1024, dropout=0.0),
        ),
        data=DataConfig(
            dataset="coco-panoptic",
            root="datasets/coco",
            format="coco_panoptic",
            mapper="coco_panoptic",
            train_split="train2017",
            eval_split="val2017",
            num_segments=64,
            augment=AugmentConfig(
                short_edges=(192, 208, 224, 240, 256),
                max_size=448,
                crop_kind="absolute_range",
                crop_size=(128, 240),
                crop_probability=0.5,
                pre_crop_short_edges=(160, 200, 240),
                color=False,
                buckets=((256, 352), (352, 256), (256, 448), (448, 256)),
            ),
        ),
        optim=OptimConfig(
            learning_rate=1e-4,
            backbone_multiplier=0.25,
            schedule="multistep",
            milestones=(900,),
            warmup_steps=50,
            warmup_factor=0.1,
        ),
        train=TrainConfig(
            num_steps=1_000,
            batch_size=4,
            init_backbone="weights/resnet50_imagenet_caffe.npz",
            init_backbone_format="caffe",
            log_every=20,
            checkpoint_every=250,
            eval_every=500,
        ),
        eval=EvalConfig(
            task="panoptic",
            short_edge=256,
            max_size=448,
            resize_before_inference=True,
            object_mask_threshold=0.8,
            overlap_threshold=0.8,
        ),
    )
