"""MaskFormer with ResNet-50 on the Penn-Fudan pedestrians, panoptic: for two CPU cores.

    python train.py --config=configs/penn-fudan/maskformer_R50_cpu.py --workdir=runs/penn_fudan_cpu

Every pedestrian is a thing, the rest of the image is one stuff class. The model is that of
coco-panoptic/maskformer_panoptic_R50_cpu.py with twenty queries.

Data: datasets/penn_fudan (docs/datasets.md).
ImageNet weights: weights/resnet50_imagenet_caffe.npz (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: 36 minutes for half of the steps on two shared cores.
Expected: docs/results.md, after half of the steps.
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
                num_queries=20, num_layers=3, ffn_dim=1024, dropout=0.0
            ),
        ),
        data=DataConfig(
            dataset="penn-fudan",
            root="datasets/penn_fudan",
            format="penn_fudan",
            mapper="coco_panoptic",
            train_split="train",
            eval_split="val",
            num_segments=10,
            augment=AugmentConfig(
                short_edges=(192, 208, 224, 240, 256),
                max_size=448,
                crop_kind="absolute_range",
                crop_size=(128, 240),
                crop_probability=0.5,
                pre_crop_short_edges=(160, 200, 240),
                color=False,
            ),
        ),
        optim=OptimConfig(
            learning_rate=4e-4,
            backbone_multiplier=0.25,
            schedule="multistep",
            milestones=(500,),
            warmup_steps=50,
            warmup_factor=0.1,
        ),
        train=TrainConfig(
            num_steps=600,
            batch_size=4,
            init_backbone="weights/resnet50_imagenet_caffe.npz",
            init_backbone_format="caffe",
            log_every=20,
            checkpoint_every=200,
            eval_every=200,
        ),
        eval=EvalConfig(
            task="panoptic",
            short_edge=256,
            max_size=448,
            resize_before_inference=True,
            object_mask_threshold=0.5,
            overlap_threshold=0.8,
        ),
    )
