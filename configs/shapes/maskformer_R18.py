"""A small MaskFormer on drawn shapes, trained in minutes on the CPU of a laptop.

    python -m maskformer_jax prepare shapes --root=datasets/shapes
    python train.py --config=configs/shapes/maskformer_R18.py --workdir=runs/shapes

The data is drawn by the first command, into datasets/shapes; the backbone starts at random.

Cost: minutes on two cores.
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
            backbone=ResNetConfig(depth=18, width=32, norm="group_norm"),
            pixel_decoder=FPNConfig(conv_dim=64, mask_dim=64),
            transformer_decoder=MaskFormerDecoderConfig(
                num_queries=20, num_layers=3, hidden_dim=64, ffn_dim=256, dropout=0.0
            ),
        ),
        data=DataConfig(
            dataset="shapes",
            root="datasets/shapes",
            format="tfds",
            num_segments=9,
            augment=AugmentConfig(short_edges=(96,), max_size=192, crop_size=(96, 96)),
        ),
        optim=OptimConfig(
            learning_rate=1e-3,
            backbone_multiplier=1.0,
            clip_norm=0.1,
            warmup_steps=50,
            warmup_factor=0.1,
        ),
        train=TrainConfig(
            num_steps=600,
            batch_size=8,
            log_every=20,
            checkpoint_every=200,
            eval_every=200,
        ),
        eval=EvalConfig(short_edge=96, max_size=192),
    )
