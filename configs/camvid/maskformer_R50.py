"""MaskFormer with ResNet-50 on CamVid: 367 street scenes of 360 x 480 pixels, 11 classes.

    python train.py --config=configs/camvid/maskformer_R50.py --workdir=runs/camvid

Data: datasets/camvid (docs/datasets.md).
ImageNet weights: weights/resnet50_imagenet_caffe.npz, those of Caffe's ResNet-50, with the stride
in the first 1x1 convolution of a block (docs/checkpoints.md).
Elsewhere: set --config.data.root and --config.train.init_backbone.

Cost: needs a GPU.
Expected: not known; it has not been trained yet (docs/results.md).
"""

from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    TrainConfig,
)


def get_config() -> Config:
    """Build this recipe, a new object at each call."""
    return Config(
        model=ModelConfig(backbone=ResNetConfig(depth=50, stride_in_1x1=True)),
        data=DataConfig(
            dataset="camvid",
            root="datasets/camvid",
            train_split="train",
            eval_split="val",
            num_segments=11,
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 2.0 times 360.
                short_edges=tuple(360 * tenths // 10 for tenths in range(5, 21)),
                max_size=2048,
                crop_size=(360, 480),
            ),
        ),
        optim=OptimConfig(learning_rate=1e-4),
        train=TrainConfig(
            num_steps=8_000,
            batch_size=16,
            init_backbone="weights/resnet50_imagenet_caffe.npz",
            init_backbone_format="caffe",
            checkpoint_every=1_000,
            eval_every=1_000,
        ),
        eval=EvalConfig(short_edge=360, max_size=480),
    )
