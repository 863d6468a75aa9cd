"""The recipes under configs/: names, published values, sizes of the models."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from maskformer_jax.config_fields import walk_fields
from maskformer_jax.config_io import configs_folder, list_config_names, load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.models.build import build_model
from maskformer_jax.recipes import semantic_augment

# Thousands of trainable parameters; those of published models as their paper counts them.
PARAMETERS = {
    "ade20k-150/maskformer_R50_bs16_160k": 41_255,
    "camvid/maskformer_R50": 41_219,
    "camvid/maskformer_R50_cpu": 30_496,
    "shapes/maskformer_R18": 3_340,
}

PUBLISHED = {
    "ade20k-150/maskformer_R50_bs16_160k": {
        "model.backbone.type": "resnet",
        "model.backbone.depth": 50,
        "model.backbone.width": 64,
        "model.backbone.stride_in_1x1": False,
        "model.backbone.freeze_at": 0,
        "model.pixel_decoder.conv_dim": 256,
        "model.pixel_decoder.mask_dim": 256,
        "model.transformer_decoder.num_queries": 100,
        "model.transformer_decoder.num_layers": 6,
        "model.transformer_decoder.hidden_dim": 256,
        "model.transformer_decoder.num_heads": 8,
        "model.transformer_decoder.ffn_dim": 2048,
        "model.transformer_decoder.dropout": 0.1,
        "model.transformer_decoder.pre_norm": False,
        "model.transformer_decoder.deep_supervision": True,
        "model.transformer_decoder.enforce_input_proj": False,
        "model.pixel_mean": (123.675, 116.28, 103.53),
        "model.pixel_std": (58.395, 57.12, 57.375),
        "model.size_divisibility": 32,
        "loss.class_weight": 1.0,
        "loss.mask_weight": 20.0,
        "loss.dice_weight": 1.0,
        "loss.no_object_weight": 0.1,
        "loss.class_cost": 1.0,
        "data.dataset": "ade20k-150",
        "data.augment.short_edges": (
            *(256, 307, 358, 409, 460, 512, 563, 614),
            *(665, 716, 768, 819, 870, 921, 972, 1024),
        ),
        "data.augment.max_size": 2048,
        "data.augment.crop_size": (512, 512),
        "data.augment.color": True,
        "data.augment.flip": True,
        "optim.learning_rate": 1e-4,
        "optim.backbone_multiplier": 0.1,
        "optim.weight_decay": 1e-4,
        "optim.weight_decay_norm": 0.0,
        "optim.weight_decay_embed": 0.0,
        "optim.b1": 0.9,
        "optim.b2": 0.999,
        "optim.eps": 1e-8,
        "optim.clip_norm": 0.01,
        "optim.schedule": "poly",
        "optim.poly_power": 0.9,
        "optim.warmup_steps": 0,
        "optim.warmup_factor": 1.0,
        "train.num_steps": 160_000,
        "train.batch_size": 16,
        "train.init_backbone_format": "torchvision",
        "train.checkpoint_every": 5000,
        "train.eval_every": 5000,
        "eval.short_edge": 512,
        "eval.max_size": 2048,
        "eval.resize_before_inference": False,
    },
}


def test_every_config_is_in_the_table():
    assert list_config_names() == sorted(PARAMETERS)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_config_loads_by_path_under_its_name(name):
    file = configs_folder() / f"{name}.py"
    config = load_config(file)
    assert config.name == name
    assert config == load_config(name)
    assert f"--config=configs/{name}.py" in Path(file).read_text().split('"""')[1]


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_model_has_the_known_number_of_parameters(name):
    config = load_config(name)
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert round(count / 1000) == PARAMETERS[name]
    predictions = jax.eval_shape(model.apply, variables, images)
    assert predictions.class_logits.shape[-1] == info.num_classes + 1
    assert config.data.num_segments <= info.num_classes


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_values(name):
    fields = {field.path: field.value for field in walk_fields(load_config(name))}
    assert {path: fields[path] for path in PUBLISHED[name]} == PUBLISHED[name]


def test_short_edges_are_rounded_down_as_published():
    # Cityscapes' list (base 1024): 0.9 times 1024 is 921.6, 1.3 times 1331.2.
    augment = semantic_augment(1024, crop_size=(512, 1024), max_size=4096)
    assert augment.short_edges == (
        *(512, 614, 716, 819, 921, 1024, 1126, 1228),
        *(1331, 1433, 1536, 1638, 1740, 1843, 1945, 2048),
    )
