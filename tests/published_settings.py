"""The published table, and which of our fields is which of its settings."""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax.config import (
    AugmentConfig,
    Config,
    DataConfig,
    DistributedConfig,
    EvalConfig,
    FPNConfig,
    LossConfig,
    MaskFormerDecoderConfig,
    MeshConfig,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    SwinConfig,
    TrainConfig,
    TransformerFPNConfig,
    TTAConfig,
)

TABLE = json.loads(Path(__file__).with_name("published_configs.json").read_text())
PUBLISHED = TABLE["configs"]


class Counterpart(NamedTuple):
    """A published setting, such as "solver.base_lr", and what its value is called here."""

    key: str
    convert: Callable[[Any], Any] = lambda value: value


def renamed(key: str, names: Mapping[Any, Any]) -> Counterpart:
    return Counterpart(key, names.__getitem__)


def only_item(key: str, names: Mapping[str, str]) -> Counterpart:
    return Counterpart(key, lambda items: names[items[0]] if len(items) == 1 else items)


TRAIN_SPLITS = {
    "ade20k_sem_seg_train": "training",
    "ade20k_full_sem_seg_train": "training",
    "ade20k_panoptic_train": "training",
    "cityscapes_fine_sem_seg_train": "train",
    "coco_2017_train_panoptic": "train2017",
    "coco_2017_train_stuff_10k_sem_seg": "train",
    "mapillary_vistas_sem_seg_train": "training",
}
EVAL_SPLITS = {
    "ade20k_sem_seg_val": "validation",
    "ade20k_full_sem_seg_val": "validation",
    "ade20k_panoptic_val": "validation",
    "cityscapes_fine_sem_seg_val": "val",
    "coco_2017_val_panoptic": "val2017",
    "coco_2017_test_stuff_10k_sem_seg": "test",
    "mapillary_vistas_sem_seg_val": "validation",
}
MAPPERS = {
    "mask_former_semantic": "semantic",
    "mask_former_panoptic": "panoptic",
    "detr_panoptic": "coco_panoptic",
}
HEADS = {
    "MaskFormerHead": "mask_classification",
    "PerPixelBaselineHead": "per_pixel",
    "PerPixelBaselinePlusHead": "per_pixel_plus",
}

# Section of our config: field: its published settings. One field may be several of them.
COUNTERPARTS: dict[type, dict[str, str | Counterpart | tuple[str, ...]]] = {
    Config: {},
    ModelConfig: {
        "head": renamed("head", HEADS),
        "pixel_mean": "pixel_mean",
        "pixel_std": "pixel_std",
        "size_divisibility": "model_size_divisibility",
        "compute_dtype": renamed("solver.amp", {False: "float32"}),
    },
    ResNetConfig: {
        "type": renamed("backbone.builder", {"resnet": "resnet", "resnet_deeplab": "resnet"}),
        "depth": "backbone.depth",
        "width": "backbone.width_per_group",
        "stem": renamed("backbone.stem", {"basic_7x7": "basic", "deeplab_3x3x3": "deeplab"}),
        "stride_in_1x1": "backbone.stride_in_1x1",
        "norm": renamed("backbone.norm", {"FrozenBN": "frozen_batch_norm"}),
        "res5_dilations": "backbone.res5_block_dilations",
        "freeze_at": "backbone.freeze_at",
    },
    SwinConfig: {
        "type": "backbone.builder",
        "embed_dim": "backbone.embed_dim",
        "depths": "backbone.depths",
        "num_heads": "backbone.num_heads",
        "window": "backbone.window_size",
        "drop_path": "backbone.drop_path_rate",
    },
    FPNConfig: {
        "type": renamed("pixel_decoder.name", {"BasePixelDecoder": "fpn"}),
        "conv_dim": "pixel_decoder.conv_dim",
        "mask_dim": "pixel_decoder.mask_dim",
    },
    TransformerFPNConfig: {
        "type": renamed(
            "pixel_decoder.name", {"TransformerEncoderPixelDecoder": "transformer_fpn"}
        ),
        "conv_dim": "pixel_decoder.conv_dim",
        "mask_dim": "pixel_decoder.mask_dim",
        "num_layers": "pixel_decoder.transformer_enc_layers",
        # The published pixel decoder takes these from the settings of the transformer decoder.
        "num_heads": "transformer_predictor.nheads",
        "ffn_dim": "transformer_predictor.dim_feedforward",
        "dropout": "transformer_predictor.dropout",
        "pre_norm": "transformer_predictor.pre_norm",
    },
    MaskFormerDecoderConfig: {
        "num_queries": "transformer_predictor.num_queries",
        "num_layers": "transformer_predictor.dec_layers",
        "hidden_dim": "transformer_predictor.hidden_dim",
        "num_heads": "transformer_predictor.nheads",
        "ffn_dim": "transformer_predictor.dim_feedforward",
        "dropout": "transformer_predictor.dropout",
        "pre_norm": "transformer_predictor.pre_norm",
        "deep_supervision": "transformer_predictor.deep_supervision",
        "enforce_input_proj": "transformer_predictor.enforce_input_proj",
    },
    LossConfig: {
        "class_weight": "loss.class_weight",
        "mask_weight": ("loss.mask_focal_weight", "loss.matcher_cost_mask"),
        "dice_weight": ("loss.dice_weight", "loss.matcher_cost_dice"),
        "no_object_weight": "loss.no_object_weight",
        "class_cost": "loss.matcher_cost_class",
    },
    DataConfig: {
        "dataset": "dataset.name",
        "train_split": only_item("dataset.train", TRAIN_SPLITS),
        "eval_split": only_item("dataset.test", EVAL_SPLITS),
        "mapper": renamed("input_train.mapper", MAPPERS),
    },
    AugmentConfig: {
        "short_edges": "input_train.min_size",
        "max_size": "input_train.max_size",
        "crop_kind": "input_train.crop.type",
        "crop_size": "input_train.crop.size",
        "crop_probability": "input_train.detr_style_crop.probability",
        "pre_crop_short_edges": "input_train.detr_style_crop.pre_resize_short_edges",
        "color": "input_train.color_aug_ssd",
        "flip": renamed("input_train.hflip_prob", {0.5: True, 0.0: False}),
    },
    OptimConfig: {
        "learning_rate": "solver.base_lr",
        "backbone_multiplier": "solver.backbone_lr_multiplier",
        "weight_decay": "solver.weight_decay",
        "weight_decay_norm": "solver.weight_decay_norm",
        "weight_decay_embed": "solver.weight_decay_embed",
        "b1": Counterpart("solver.betas", lambda betas: betas[0]),
        "b2": Counterpart("solver.betas", lambda betas: betas[1]),
        "eps": "solver.eps",
        "clip_norm": "solver.clip_gradients.value",
        "schedule": renamed(
            "solver.lr_scheduler", {"WarmupPolyLR": "poly", "WarmupMultiStepLR": "multistep"}
        ),
        "poly_power": "solver.poly_power",
        "milestones": "solver.steps",
        "decay": "solver.gamma",
        "warmup_steps": "solver.warmup_iters",
        "warmup_factor": "solver.warmup_factor",
    },
    TrainConfig: {
        "num_steps": "solver.max_iter",
        "batch_size": "solver.images_per_batch",
        "init_backbone": Counterpart(
            "backbone.init_weights_file", lambda file: f"weights/{file.rpartition('/')[2]}"
        ),
        "checkpoint_every": "solver.checkpoint_period",
        "eval_every": "solver.eval_period",
    },
    EvalConfig: {
        "task": "task",
        "short_edge": "test.min_size",
        "max_size": "test.max_size",
        "resize_before_inference": "test.sem_seg_postprocess_before_inference",
        "object_mask_threshold": "test.object_mask_threshold",
        "overlap_threshold": "test.overlap_threshold",
    },
    TTAConfig: {
        "enabled": "test.tta.enabled_by_default",
        "short_edges": "test.tta.min_sizes",
        "max_size": "test.tta.max_size",
        "flip": "test.tta.flip",
    },
    MeshConfig: {},
    DistributedConfig: {},
}
# Options that the published code does not have: off in its recipes, as they are by default.
OPTIONS: dict[type, set[str]] = {
    ModelConfig: {"remat", "matmul_precision"},
    MaskFormerDecoderConfig: {"type", "share_heads", "self_attention"},
    LossConfig: {
        *("matching", "matcher", "ignore_void", "ignore_padding", "num_points"),
        *("num_cost_points", "by_layer", "class_groups"),
    },
    DataConfig: {
        *("num_workers", "num_threads", "trust_exif", "allow_other_classes"),
        *("images", "labels", "label_endings", "split_files"),
    },
    AugmentConfig: {"buckets"},
    OptimConfig: {"ema_decay", "accumulate_steps", "skip_nonfinite"},
    TrainConfig: {
        *(
            "seed",
            "init_backbone_format",
            "init_checkpoint",
            "init_missing",
            "log_every",
            "patience",
            "trackers",
            "keep_checkpoints",
            "profile_steps",
        ),
    },
    EvalConfig: {
        *(
            "batch_size",
            "shapes",
            "max_programs",
            "report_images",
            "semantic_rule",
            "general_threshold",
            "max_instances",
        ),
    },
    MeshConfig: {"data", "fsdp"},
    Config: {"compile_cache"},
    DistributedConfig: {
        *("launch", "coordinator", "num_processes", "process_id"),
        *("start_timeout_s", "heartbeat_timeout_s"),
    },
}
# Fields of a recipe that are no published settings: its name, and how our files lie and are read.
OWN: dict[type, set[str]] = {Config: {"name"}, DataConfig: {"root", "format", "num_segments"}}
# What the published table says besides settings, and settings that mean nothing here: the order
# of reading (aspect ratios, seed, workers) and a filter that does nothing with these data sets.
NOT_SETTINGS = {
    *(f"dataset.{key}" for key in ("family", "train_images", "val_images")),
    "backbone.pretrain_img_size",
    "solver.num_gpus_used",  # in the docstrings
    "solver.seed",
    *(f"input_train.{key}" for key in ("num_workers", "aspect_ratio_grouping")),
    "input_train.filter_empty_annotations",
}


def counterparts(section: type, field: str) -> list[Counterpart]:
    """The published settings that a field is; none for options and fields of our own."""
    found = COUNTERPARTS[section].get(field, ())
    if isinstance(found, Counterpart):
        return [found]
    return [Counterpart(key) for key in ((found,) if isinstance(found, str) else found)]


def published_settings(name: str) -> dict[str, Any]:
    """Every setting of a published config by its path in the table, references filled in."""
    entry = copy.deepcopy(PUBLISHED[name])
    del entry["published"], entry["parameters"]
    entry["dataset"] = {"name": entry["dataset"], **TABLE["datasets"][entry["dataset"]]}
    entry["backbone"] = TABLE["backbones"][entry["backbone"]]
    decoder = entry["pixel_decoder"]
    entry["pixel_decoder"] = {"name": decoder, **TABLE["pixel_decoders"][decoder]}
    for section, shared in TABLE["common"].items():
        entry[section] = {**shared, **entry[section]} if section in entry else shared
    if entry["solver"]["eval_period"] == 0:
        # At the end only, which is where ours evaluates in any case.
        entry["solver"]["eval_period"] = entry["solver"]["max_iter"]
    tta = entry["test"]["tta"]
    if not tta.pop("set_in_config"):
        # The sizes of the framework remain, which are no protocol.
        entry["test"]["tta"] = {"enabled_by_default": tta["enabled_by_default"]}
    return dict(flatten(entry))


def flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in values.items():
        leaves += flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else []
        leaves += [] if isinstance(value, dict) else [(prefix + key, as_tuples(value))]
    return leaves


def as_tuples(value: Any) -> Any:
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value
