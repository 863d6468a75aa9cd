"""The published training recipes, one function for each data set.

A function here sets every value that differs from the defaults and is the same in all configs of
its data set (paper section 4.1 and appendix); the file under `configs/` sets backbone, ImageNet
weights and whatever else is its own.
"""

from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
    TTAConfig,
)


def ade20k_150(crop: int = 512) -> Config:
    """ADE20K SceneParse150: 160k steps on square crops (paper section 4.1).

    Args:
        crop: Side of the crops in pixels; the sizes of augmentation and evaluation follow it.
    """
    return Config(
        data=DataConfig(
            dataset="ade20k-150",
            root="datasets/ADEChallengeData2016",
            train_split="training",
            eval_split="validation",
            num_segments=150,
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 2.0 times the crop, rounded down.
                short_edges=tuple(crop * tenths // 10 for tenths in range(5, 21)),
                max_size=4 * crop,
                crop_size=(crop, crop),
            ),
        ),
        train=TrainConfig(num_steps=160_000),
        eval=EvalConfig(
            short_edge=crop,
            max_size=4 * crop,
            tta=TTAConfig(
                # 0.5, 0.75, ... and 1.75 times the crop.
                short_edges=tuple(crop * quarters // 4 for quarters in range(2, 8)),
                max_size=7 * crop,
            ),
        ),
    )


def ade20k_full_847() -> Config:
    """ADE20K-Full: images resized to a shorter side of 512, 200k steps."""
    return Config(
        data=DataConfig(
            dataset="ade20k-full-847",
            root="datasets/ADE20K_2021_17_01",
            format="prepared",
            train_split="training",
            eval_split="validation",
            num_segments=256,  # far more than occur in one crop; each slot costs memory
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 2.0 times 512, rounded down.
                short_edges=tuple(512 * tenths // 10 for tenths in range(5, 21)),
                max_size=2048,
                crop_size=(512, 512),
            ),
        ),
        train=TrainConfig(num_steps=200_000),
        eval=EvalConfig(short_edge=512, max_size=2048),
    )


def coco_stuff_10k_171() -> Config:
    """COCO-Stuff-10K: 60k steps of 32 images; scale jitter up to 1.5 only."""
    return Config(
        data=DataConfig(
            dataset="coco-stuff-10k-171",
            root="datasets/coco_stuff_10k",
            format="prepared",
            train_split="train",
            eval_split="test",
            num_segments=171,
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 1.5 times 640.
                short_edges=tuple(640 * tenths // 10 for tenths in range(5, 16)),
                max_size=2560,
                crop_size=(640, 640),
            ),
        ),
        train=TrainConfig(num_steps=60_000, batch_size=32),
        eval=EvalConfig(
            short_edge=640,
            max_size=2560,
            tta=TTAConfig(short_edges=(320, 480, 640, 800, 960, 1120), max_size=4480),
        ),
    )


def cityscapes_19() -> Config:
    """Cityscapes: 90k steps on crops of half the height and half the width of an image."""
    return Config(
        data=DataConfig(
            dataset="cityscapes-19",
            root="datasets/cityscapes",
            format="cityscapes",
            train_split="train",
            eval_split="val",
            num_segments=19,
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 2.0 times 1024, rounded down.
                short_edges=tuple(1024 * tenths // 10 for tenths in range(5, 21)),
                max_size=4096,
                crop_size=(512, 1024),
            ),
        ),
        train=TrainConfig(num_steps=90_000),
        eval=EvalConfig(
            short_edge=1024,
            max_size=2048,
            tta=TTAConfig(short_edges=(512, 768, 1024, 1280, 1536, 1792), max_size=4096),
        ),
    )


def mapillary_vistas_65() -> Config:
    """Mapillary Vistas: 300k steps; evaluated with the longer side at 2048."""
    return Config(
        data=DataConfig(
            dataset="mapillary-vistas-65",
            root="datasets/mapillary_vistas",
            format="mapillary",
            train_split="training",
            eval_split="validation",
            num_segments=65,
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 2.0 times 2048, rounded down.
                short_edges=tuple(2048 * tenths // 10 for tenths in range(5, 21)),
                max_size=8192,
                crop_size=(1280, 1280),
            ),
        ),
        train=TrainConfig(num_steps=300_000),
        eval=EvalConfig(short_edge=2048, max_size=2048),
    )


def ade20k_panoptic() -> Config:
    """ADE20K panoptic segmentation: 720k steps (appendix)."""
    return Config(
        data=DataConfig(
            dataset="ade20k-panoptic",
            root="datasets/ADEChallengeData2016",
            format="coco_panoptic",
            mapper="panoptic",
            train_split="training",
            eval_split="validation",
            num_segments=256,  # instances are segments too, so there may be more than classes
            augment=AugmentConfig(
                # 0.5, 0.6, ... and 2.0 times 640.
                short_edges=tuple(640 * tenths // 10 for tenths in range(5, 21)),
                max_size=2560,
                crop_size=(640, 640),
            ),
        ),
        train=TrainConfig(num_steps=720_000, eval_every=720_000),  # evaluated at the end only
        eval=EvalConfig(
            task="panoptic",
            short_edge=640,
            max_size=2560,
            resize_before_inference=True,
            object_mask_threshold=0.7,
            overlap_threshold=0.8,
        ),
    )


def coco_panoptic() -> Config:
    """COCO panoptic segmentation: 300 epochs of 64 images a step (paper section 4.1)."""
    return Config(
        model=ModelConfig(size_divisibility=0),
        data=DataConfig(
            dataset="coco-panoptic",
            root="datasets/coco",
            format="coco_panoptic",
            mapper="coco_panoptic",
            train_split="train2017",
            eval_split="val2017",
            num_segments=256,  # instances are segments too, so there may be more than classes
            augment=AugmentConfig(
                short_edges=(480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800),
                max_size=1333,
                crop_kind="absolute_range",
                crop_size=(384, 600),
                crop_probability=0.5,
                pre_crop_short_edges=(400, 500, 600),
                color=False,
            ),
        ),
        optim=OptimConfig(
            schedule="multistep", milestones=(369_600,), warmup_steps=10, warmup_factor=1.0
        ),
        train=TrainConfig(
            num_steps=554_400,
            batch_size=64,
            eval_every=554_400,  # at the end only
        ),
        eval=EvalConfig(
            task="panoptic",
            short_edge=800,
            max_size=1333,
            resize_before_inference=True,
            object_mask_threshold=0.8,
            overlap_threshold=0.8,
        ),
    )
