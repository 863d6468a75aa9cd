"""MaskFormer with ResNet-50 on CamVid: 367 street scenes of 360 x 480 pixels, 11 classes.

    python train.py --config=configs/camvid/maskformer_R50.py --workdir=runs/camvid

The backbone starts from the ImageNet weights of Caffe's ResNet-50 (stride in the first 1x1).
Data and weights are looked for in the folder `shared` beside the repository; for another place
set --config.data.root and --config.train.init_backbone.
"""

from maskformer_jax.config import (
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    TrainConfig,
)
from maskformer_jax.recipes import semantic_augment


def get_config() -> Config:
    """This recipe, a new object at each call."""
    return Config(
        model=ModelConfig(backbone=ResNetConfig(depth=50, stride_in_1x1=True)),
        data=DataConfig(
            dataset="camvid",
            root="../shared/data/camvid",
            num_segments=11,
            augment=semantic_augment(360, crop_size=(360, 480), max_size=2048),
        ),
        optim=OptimConfig(learning_rate=1e-4),
        train=TrainConfig(
            num_steps=8_000,
            batch_size=16,
            init_backbone="../shared/weights/resnet50_imagenet_caffe.npz",
            init_backbone_format="caffe",
            checkpoint_every=1_000,
            eval_every=1_000,
        ),
        eval=EvalConfig(short_edge=360, max_size=480),
    )
