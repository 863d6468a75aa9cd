"""The recipes under configs/ against the published table: names, every setting, model sizes."""

import json
from pathlib import Path
from typing import Any

import pytest

from maskformer_jax.config import Config, ResNetConfig, SwinConfig
from maskformer_jax.config.io import configs_folder, list_config_names, load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.transforms import PAD_COLOR
from maskformer_jax.losses import FOCAL_ALPHA, FOCAL_GAMMA
from maskformer_jax.parts.backbones.resnet.model import BLOCKS
from maskformer_jax.recipes import BACKBONES, semantic_augment

TABLE = json.loads(Path(__file__).with_name("published_configs.json").read_text())
PUBLISHED = TABLE["configs"]
OWN_PARAMETERS = {  # in thousands
    "camvid/maskformer_R50": 41_219,
    "camvid/maskformer_R50_cpu": 30_496,
    "coco-panoptic/maskformer_panoptic_R50_cpu": 30_545,
    "penn-fudan/maskformer_R50_cpu": 30_491,
    "shapes/maskformer_R18": 3_340,
}
NAMES = sorted([*PUBLISHED, *OWN_PARAMETERS])
# What the published table says besides settings, and settings that mean nothing here: the order
# of reading (aspect ratios, seed, workers) and a filter that does nothing with these data sets.
NOT_SETTINGS = {
    *(f"dataset.{key}" for key in ("family", "train", "test", "train_images", "val_images")),
    "backbone.pretrain_img_size",
    "solver.num_gpus_used",  # in the docstrings
    "solver.seed",
    *(f"input_train.{key}" for key in ("num_workers", "aspect_ratio_grouping")),
    "input_train.filter_empty_annotations",
}


def test_every_config_is_in_the_table():
    assert list_config_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_config_loads_by_path_under_its_name(name):
    file = configs_folder() / f"{name}.py"
    config = load_config(file)
    assert config.name == name
    assert config == load_config(name)
    assert f"--config=configs/{name}.py" in file.read_text().split('"""')[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_docstring_gives_cost_and_result(name):
    text = (configs_folder() / f"{name}.py").read_text().split('"""')[1]
    config, published = load_config(name), PUBLISHED[name]["published"]
    gpus = PUBLISHED[name]["solver"]["num_gpus_used"]
    images = {1: "one image", 2: "two images", 4: "four images"}[config.train.batch_size // gpus]
    memory = f"{published['train_mem_MB'] / 1000:.1f} GB"
    assert f"\nCost: published with {gpus} GPUs, {images} and {memory} each.\n" in text
    task = "PQ" if "PQ" in published else "mIoU"
    expected = f"{task} {published[task]}"
    if "mIoU_ms_flip" in published:
        expected += f" ({published['mIoU_ms_flip']} with several scales and flipping)"
    assert f"\nExpected: {expected}.\n" in text
    for place in (config.data.root, config.train.init_backbone):
        assert place in text


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_setting_holds(name):
    published = {path: value for path, value in flatten(settings(name)) if path not in NOT_SETTINGS}
    # Through JSON, so that tuples are lists.
    ours = dict(flatten(json.loads(json.dumps(our_settings(load_config(name))))))
    assert ours == published


def settings(name: str) -> dict[str, Any]:
    """What the table says of one config, its references filled in."""
    entry = {key: PUBLISHED[name][key] for key in PUBLISHED[name] if key != "published"}
    del entry["parameters"]
    entry["dataset"] = {"name": entry["dataset"], **TABLE["datasets"][entry["dataset"]]}
    weights = TABLE["backbones"][entry["backbone"]]["init_weights_file"].rpartition("/")[2]
    entry["backbone"] = {**TABLE["backbones"][entry["backbone"]], "init_weights_file": weights}
    decoder = entry["pixel_decoder"]
    entry["pixel_decoder"] = {"name": decoder, **TABLE["pixel_decoders"][decoder]}
    for section, shared in TABLE["common"].items():
        entry[section] = {**shared, **entry[section]} if section in entry else shared
    # Where a config does not set them, the sizes of the framework remain, which are no protocol.
    if not entry["test"]["tta"]["set_in_config"]:
        entry["test"]["tta"] = {"enabled_by_default": False, "set_in_config": False}
    return entry


def flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in values.items():
        leaves += flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else []
        leaves += [] if isinstance(value, dict) else [(prefix + key, value)]
    return leaves


def our_settings(config: Config) -> dict[str, Any]:
    """Our config in the table's words; a literal stands where the code can do nothing else."""
    model, optim, train = config.model, config.optim, config.train
    return {
        "task": config.eval.task,
        "head": {
            "mask_classification": "MaskFormerHead",
            "per_pixel": "PerPixelBaselineHead",
            "per_pixel_plus": "PerPixelBaselinePlusHead",
        }[model.head],
        "dataset": our_dataset(config),
        "pixel_mean": model.pixel_mean,
        "pixel_std": model.pixel_std,
        "model_size_divisibility": model.size_divisibility,
        "backbone": {
            **our_backbone(model.backbone),
            "init_weights_file": train.init_backbone.removeprefix("weights/"),
        },
        "pixel_decoder": {
            "name": {
                "fpn": "BasePixelDecoder",
                "transformer_fpn": "TransformerEncoderPixelDecoder",
            }[model.pixel_decoder.type],
            "in_features": ["res2", "res3", "res4", "res5"],
            "conv_dim": model.pixel_decoder.conv_dim,
            "mask_dim": model.pixel_decoder.mask_dim,
            "norm": "GN",
            "transformer_enc_layers": (
                model.pixel_decoder.num_layers
                if model.pixel_decoder.type == "transformer_fpn"
                else 0
            ),
        },
        "transformer_predictor": our_transformer_decoder(config),
        "loss": our_loss(config),
        "solver": {
            "optimizer": "ADAMW",
            "base_lr": optim.learning_rate,
            "backbone_lr_multiplier": optim.backbone_multiplier,
            "weight_decay": optim.weight_decay,
            "weight_decay_norm": optim.weight_decay_norm,
            "weight_decay_embed": optim.weight_decay_embed,
            "betas": [optim.b1, optim.b2],
            "eps": optim.eps,
            "clip_gradients": {
                "enabled": True,
                "type": "full_model",
                "value": optim.clip_norm,
                "norm_type": 2.0,
            },
            "max_iter": train.num_steps,
            "warmup_factor": optim.warmup_factor,
            "warmup_iters": optim.warmup_steps,
            "warmup_method": "linear",
            "images_per_batch": train.batch_size,
            "amp": model.compute_dtype != "float32",
            "checkpoint_period": train.checkpoint_every,
            # 0: at the end only, which is where ours evaluates in any case.
            "eval_period": 0 if train.eval_every == train.num_steps else train.eval_every,
            **our_schedule(config),
        },
        "input_train": our_augmentation(config),
        "test": our_evaluation(config),
    }


def our_dataset(config: Config) -> dict[str, Any]:
    info = load_dataset_info(config.data.dataset)
    things = sum(category.is_thing for category in info.categories)
    panoptic = config.eval.task == "panoptic"
    # SceneParse150's files hold 0 for void; published is the value after subtracting 1 in uint8.
    as_distributed = config.data.dataset == "ade20k-150" and info.ignore_label == 0
    return {
        "name": info.name,
        "num_classes": info.num_classes,
        "ignore_value": 255 if as_distributed else info.ignore_label,
        "thing_classes": things if panoptic else None,
        "stuff_classes": info.num_classes - things if panoptic else info.num_classes,
    }


def our_backbone(backbone: ResNetConfig | SwinConfig) -> dict[str, Any]:
    names = {
        **{name: name for name in BACKBONES},
        "swin_tiny": "Swin-T",
        "swin_small": "Swin-S",
        "swin_base": "Swin-B (IN-22K, 384)",
        "swin_large": "Swin-L (IN-22K, 384)",
    }
    [name] = [names[key] for key, build in BACKBONES.items() if build() == backbone]
    first = backbone.embed_dim if isinstance(backbone, SwinConfig) else 4 * backbone.width
    shared = {
        "name": name,
        "out_features": ["res2", "res3", "res4", "res5"],
        "out_channels": [first, 2 * first, 4 * first, 8 * first],
        "out_strides": [4, 8, 16, 32],
    }
    if isinstance(backbone, SwinConfig):
        return shared | {
            "builder": "swin",
            "embed_dim": backbone.embed_dim,
            "depths": backbone.depths,
            "num_heads": backbone.num_heads,
            "window_size": backbone.window,
            "patch_size": 4,
            "mlp_ratio": 4.0,
            "qkv_bias": True,
            "qk_scale": None,
            "drop_rate": 0.0,
            "attn_drop_rate": 0.0,
            "drop_path_rate": backbone.drop_path,
            "ape": False,
            "patch_norm": True,
            "norm": "LayerNorm",
            "frozen_stages": -1,
        }
    deeplab = backbone.stem == "deeplab"
    return shared | {
        "builder": "resnet_deeplab" if deeplab else "resnet",
        "depth": backbone.depth,
        "blocks": BLOCKS[backbone.depth],
        "stem": "deeplab_3x3x3" if deeplab else "basic_7x7",
        "stem_out_channels": (2 if deeplab else 1) * backbone.width,
        "stride_in_1x1": backbone.stride_in_1x1,
        "norm": "FrozenBN",
        "freeze_at": backbone.freeze_at,
        "num_groups": 1,
        "width_per_group": backbone.width,
        "res2_out_channels": first,
        "res4_dilation": 1,
        "res5_dilation": 1,
        "res5_block_dilations": backbone.res5_dilations,
    }


def our_transformer_decoder(config: Config) -> dict[str, Any] | None:
    decoder, pixel_decoder = config.model.transformer_decoder, config.model.pixel_decoder
    if config.model.head == "per_pixel":
        return None
    encoded = pixel_decoder.type == "transformer_fpn"
    other_width = not encoded or pixel_decoder.conv_dim != decoder.hidden_dim
    return {
        "in_feature": "transformer_encoder" if encoded else "res5",
        "has_input_proj": decoder.enforce_input_proj or other_width,
        "enforce_input_proj": decoder.enforce_input_proj,
        "num_queries": decoder.num_queries,
        "hidden_dim": decoder.hidden_dim,
        "nheads": decoder.num_heads,
        "dropout": decoder.dropout,
        "dim_feedforward": decoder.ffn_dim,
        "enc_layers": 0,
        "dec_layers": decoder.num_layers,
        "pre_norm": decoder.pre_norm,
        "deep_supervision": decoder.deep_supervision,
        "mask_classification": config.model.head == "mask_classification",
    }


def our_loss(config: Config) -> dict[str, Any]:
    loss, decoder = config.loss, config.model.transformer_decoder
    auxiliary = decoder.num_layers - 1 if decoder.deep_supervision else 0
    if config.model.head != "mask_classification":
        info = our_dataset(config)
        return {
            "type": "per_pixel_cross_entropy",
            "loss_weight": 1.0,
            "ignore_value": info["ignore_value"],
            "aux_losses": auxiliary if config.model.head == "per_pixel_plus" else 0,
        }
    return {
        "type": "set_prediction",
        "class_weight": loss.class_weight,
        "mask_focal_weight": loss.mask_weight,
        "dice_weight": loss.dice_weight,
        "no_object_weight": loss.no_object_weight,
        "focal_alpha": FOCAL_ALPHA,
        "focal_gamma": FOCAL_GAMMA,
        "matcher_cost_class": loss.class_cost,
        "matcher_cost_mask": loss.mask_weight,
        "matcher_cost_dice": loss.dice_weight,
        "aux_losses": auxiliary,
    }


def our_schedule(config: Config) -> dict[str, Any]:
    optim = config.optim
    poly = optim.schedule == "poly"
    return {
        "lr_scheduler": "WarmupPolyLR" if poly else "WarmupMultiStepLR",
        "poly_power": optim.poly_power if poly else None,
        "poly_constant_ending": 0.0 if poly else None,
        "steps": None if poly else optim.milestones,
        "gamma": None if poly else optim.decay,
    }


def our_augmentation(config: Config) -> dict[str, Any]:
    augment = config.data.augment
    coco = config.data.mapper == "coco_panoptic"
    height, width = augment.crop_size
    # Cityscapes' crops are not square, and always fit into the resized image.
    padded = augment.crop_kind == "absolute" and height == width
    return {
        "mapper": {
            "semantic": "mask_former_semantic",
            "panoptic": "mask_former_panoptic",
            "coco_panoptic": "detr_panoptic",
        }[config.data.mapper],
        "format": "RGB",
        "min_size": augment.short_edges,
        "min_size_sampling": "choice",
        "max_size": augment.max_size,
        "crop": {
            "enabled": True,
            "type": augment.crop_kind,
            "size": augment.crop_size,
            "single_category_max_area": None if coco else 1.0,  # 1: any crop will do
        },
        "detr_style_crop": {
            "probability": augment.crop_probability,
            "pre_resize_short_edges": augment.pre_crop_short_edges,
        }
        if coco
        else None,
        "color_aug_ssd": augment.color,
        "hflip_prob": 0.5 if augment.flip else 0.0,
        "pad_to_square": height if padded else None,
        "pad_image_value": PAD_COLOR if padded else None,
    }


def our_evaluation(config: Config) -> dict[str, Any]:
    test = config.eval
    panoptic, tta = test.task == "panoptic", test.tta
    scales = {"min_sizes": tta.short_edges, "max_size": tta.max_size, "flip": tta.flip}
    per_pixel = config.model.head != "mask_classification"
    return {
        "min_size": test.short_edge,
        "max_size": test.max_size,
        "panoptic_on": panoptic,
        "object_mask_threshold": test.object_mask_threshold if panoptic else None,
        "overlap_threshold": test.overlap_threshold if panoptic else None,
        "sem_seg_postprocess_before_inference": (
            None if per_pixel else test.resize_before_inference
        ),
        "tta": {
            "enabled_by_default": tta.enabled,
            "set_in_config": bool(tta.short_edges),
            **(scales if tta.short_edges else {}),
        },
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_more_slots_than_semantic_segmentation_needs(name):
    config = load_config(name)
    if config.data.mapper == "semantic":  # one segment for each class
        assert config.data.num_segments <= load_dataset_info(config.data.dataset).num_classes


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_two_transformers_are_alike(name):
    # The published pixel decoder takes these from the settings of the transformer decoder.
    model = load_config(name).model
    for field in ("num_heads", "ffn_dim", "dropout", "pre_norm"):
        assert getattr(model.pixel_decoder, field) == getattr(model.transformer_decoder, field)


def test_short_edges_are_rounded_down_as_published():
    # Cityscapes' list (base 1024): 0.9 times 1024 is 921.6, 1.3 times 1331.2.
    augment = semantic_augment(1024, crop_size=(512, 1024), max_size=4096)
    assert augment.short_edges == (
        *(512, 614, 716, 819, 921, 1024, 1126, 1228),
        *(1331, 1433, 1536, 1638, 1740, 1843, 1945, 2048),
    )
