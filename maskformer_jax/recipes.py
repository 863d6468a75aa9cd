"""What several configs share. A config is one of these recipes and its differences."""

from collections.abc import Callable

from maskformer_jax.config import (
    AugmentConfig,
    BackboneConfig,
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    Size,
    SwinConfig,
    TrainConfig,
    TTAConfig,
)

BACKBONES: dict[str, Callable[[], BackboneConfig]] = {
    "R50": lambda: ResNetConfig(depth=50),
    "R101": lambda: ResNetConfig(depth=101),
    # "c" as DeepLab has it: three 3x3 convolutions for a stem, and dilated ones in res5.
    "R101c": lambda: ResNetConfig(depth=101, stem="deeplab", res5_dilations=(1, 2, 4)),
    "swin_tiny": lambda: SwinConfig(
        embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window=7
    ),
    "swin_small": lambda: SwinConfig(
        embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window=7
    ),
    "swin_base": lambda: SwinConfig(
        embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window=12
    ),
    "swin_large": lambda: SwinConfig(
        embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window=12
    ),
}
# ImageNet weights in detectron2's form: torchvision's ResNets, DeepLab's, and those of Swin.
WEIGHTS = {
    "R50": "weights/R-50.pkl",
    "R101": "weights/R-101.pkl",
    "R101c": "weights/R-103.pkl",
    "swin_tiny": "weights/swin_tiny_patch4_window7_224.pkl",
    "swin_small": "weights/swin_small_patch4_window7_224.pkl",
    "swin_base": "weights/swin_base_patch4_window12_384_22k.pkl",
    "swin_large": "weights/swin_large_patch4_window12_384_22k.pkl",
}


def use_backbone(config: Config, name: str) -> None:
    """Puts a backbone into a recipe: its shape, its ImageNet weights, and Swin's optimizer."""
    config.model.backbone = BACKBONES[name]()
    config.train.init_backbone = WEIGHTS[name]
    if isinstance(config.model.backbone, SwinConfig):
        config.optim.learning_rate = 6e-5
        config.optim.backbone_multiplier = 1.0
        config.optim.weight_decay = 1e-2
        config.optim.warmup_steps = 1_500
        config.optim.warmup_factor = 1e-6


def use_per_pixel_baseline(config: Config, *, plus_queries: int = 0) -> None:
    """Turns a recipe into a baseline that classifies pixels (paper section 4.2).

    Args:
        config: The recipe.
        plus_queries: For PerPixelBaseline+, which has the transformer decoder with one query for
            each class, their number; 0 for the plain baseline.
    """
    config.model.head = "per_pixel_plus" if plus_queries else "per_pixel"
    config.model.size_divisibility = 0
    if plus_queries:
        config.model.transformer_decoder.num_queries = plus_queries


def ade20k_150(crop: int = 512) -> Config:
    """ADE20K SceneParse150 for 160k steps, with square crops (paper section 4.1)."""
    config = _scale_jitter(crop, crop_size=(crop, crop), max_size=4 * crop)
    _use_data(config, "ade20k-150", "datasets/ADEChallengeData2016", num_segments=150)
    config.data.train_split, config.data.eval_split = "training", "validation"
    config.eval.tta = _scales(crop, max_size=7 * crop)
    config.train.num_steps = 160_000
    return config


def ade20k_full_847() -> Config:
    """ADE20K-Full, images shrunk to a shorter side of 512, for 200k steps."""
    config = _scale_jitter(512, crop_size=(512, 512), max_size=2048)
    # Far more segments than occur in one crop; slots cost memory.
    _use_data(config, "ade20k-full-847", "datasets/ADE20K_2021_17_01", num_segments=256)
    config.data.format = "prepared"
    config.data.train_split, config.data.eval_split = "training", "validation"
    config.train.num_steps = 200_000
    return config


def coco_stuff_10k_171() -> Config:
    """COCO-Stuff-10K for 60k steps of 32 images; the scale jitter ends at 1.5."""
    config = _scale_jitter(640, crop_size=(640, 640), max_size=2560, largest_tenths=15)
    _use_data(config, "coco-stuff-10k-171", "datasets/coco_stuff_10k", num_segments=171)
    config.data.format = "prepared"
    config.data.eval_split = "test"
    config.eval.tta = _scales(640, max_size=4480)
    config.train.num_steps = 60_000
    config.train.batch_size = 32
    return config


def cityscapes_19() -> Config:
    """Cityscapes with crops of half the image's height and width for 90k steps."""
    config = _scale_jitter(1024, crop_size=(512, 1024), max_size=4096)
    _use_data(config, "cityscapes-19", "datasets/cityscapes", num_segments=19)
    config.data.format = "cityscapes"
    config.eval.max_size = 2048
    config.eval.tta = _scales(1024, max_size=4096)
    config.train.num_steps = 90_000
    return config


def mapillary_vistas_65() -> Config:
    """Mapillary Vistas, the longer side at 2048 for evaluation, for 300k steps."""
    config = _scale_jitter(2048, crop_size=(1280, 1280), max_size=8192)
    _use_data(config, "mapillary-vistas-65", "datasets/mapillary_vistas", num_segments=65)
    config.data.format = "mapillary"
    config.data.train_split, config.data.eval_split = "training", "validation"
    config.eval.max_size = 2048
    config.train.num_steps = 300_000
    return config


def ade20k_panoptic() -> Config:
    """ADE20K panoptic segmentation for 720k steps (appendix)."""
    config = _scale_jitter(640, crop_size=(640, 640), max_size=2560)
    _use_data(config, "ade20k-panoptic", "datasets/ADEChallengeData2016", num_segments=256)
    config.data.format = "coco_panoptic"
    config.data.train_split, config.data.eval_split = "training", "validation"
    config.data.mapper = "panoptic"
    config.train.num_steps = 720_000
    _make_panoptic(config, object_mask_threshold=0.7)
    return config


def coco_panoptic() -> Config:
    """COCO panoptic segmentation for 300 epochs of 64 images (paper section 4.1)."""
    config = Config(
        model=ModelConfig(size_divisibility=0),
        data=DataConfig(
            mapper="coco_panoptic",
            train_split="train2017",
            eval_split="val2017",
            augment=AugmentConfig(
                short_edges=tuple(range(480, 801, 32)),
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
        train=TrainConfig(num_steps=554_400, batch_size=64),
        eval=EvalConfig(short_edge=800, max_size=1333),
    )
    # Instances are segments too, so there are more of them than classes.
    _use_data(config, "coco-panoptic", "datasets/coco", num_segments=256)
    config.data.format = "coco_panoptic"
    _make_panoptic(config, object_mask_threshold=0.8)
    return config


def semantic_augment(
    base: int, *, crop_size: Size, max_size: int, largest_tenths: int = 20
) -> AugmentConfig:
    """The published augmentation: the shorter side is 0.5, 0.6, ... or 2.0 times `base`."""
    return AugmentConfig(
        short_edges=tuple(base * tenths // 10 for tenths in range(5, largest_tenths + 1)),
        max_size=max_size,
        crop_size=crop_size,
    )


def _scale_jitter(base: int, *, crop_size: Size, max_size: int, largest_tenths: int = 20) -> Config:
    """What all recipes with scale jitter around one size share."""
    augment = semantic_augment(
        base, crop_size=crop_size, max_size=max_size, largest_tenths=largest_tenths
    )
    return Config(
        data=DataConfig(augment=augment), eval=EvalConfig(short_edge=base, max_size=max_size)
    )


def _use_data(config: Config, dataset: str, root: str, *, num_segments: int) -> None:
    config.data.dataset, config.data.root = dataset, root
    config.data.num_segments = num_segments


def _scales(base: int, *, max_size: int) -> TTAConfig:
    """The published scales: 0.5, 0.75, ... and 1.75 times the usual size."""
    edges = tuple(base * quarters // 4 for quarters in range(2, 8))
    return TTAConfig(short_edges=edges, max_size=max_size)


def _make_panoptic(config: Config, *, object_mask_threshold: float) -> None:
    config.train.eval_every = config.train.num_steps  # at the end only
    config.eval.task = "panoptic"
    config.eval.resize_before_inference = True
    config.eval.object_mask_threshold = object_mask_threshold
    config.eval.overlap_threshold = 0.8
