"""Values that are refused, and by which message."""

import re

import pytest
from sample_configs import swin_config, valid_config

from maskformer_jax.config.check import check_config
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.errors import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.num_steps=0", "config.train.num_steps is 0, but must be above 0"),
        ("eval.short_edge=-1", "config.eval.short_edge is -1, but must be above 0"),
        (
            "data.augment.crop_size=0,512",
            "config.data.augment.crop_size is (0, 512), but must be above 0",
        ),
        ("data.augment.short_edges=()", "short_edges is (), but must be at least one size"),
        (
            "model.transformer_decoder.num_heads=7",
            "hidden_dim is 256, but must be a multiple of 4 and of num_heads (7)",
        ),
        (
            "model.transformer_decoder.dropout=1.0",
            "dropout is 1.0, but must be at least 0 and below 1",
        ),
        ("model.backbone.freeze_at=6", "freeze_at is 6, but must be 0..5"),
        (
            "mesh.fsdp=3",
            "config.train.batch_size is 16, but must be a multiple of config.mesh.data x",
        ),
        ("mesh.data=0", "config.mesh.data is 0, but must be -1"),
        (
            "optim.warmup_steps=160000",
            "config.optim.warmup_steps is 160000, but must be below config.train.num_steps",
        ),
        ("optim.milestones=20,10", "config.optim.milestones is (20, 10), but must be rising"),
        ("optim.learning_rate=nan", "config.optim.learning_rate is 'nan', but must be"),
        ("optim.learning_rate=-1", "config.optim.learning_rate is -1.0, but must be 0 or more"),
        ("model.pixel_std=1,0,1", "config.model.pixel_std is (1.0, 0.0, 1.0), but must be above 0"),
        ("eval.overlap_threshold=80", "config.eval.overlap_threshold is 80.0, but must be 0..1"),
        (
            "eval.tta.short_edges=512,0",
            "config.eval.tta.short_edges is (512, 0), but must be above 0",
        ),
        (
            "data.augment.crop_probability=0.5",
            "is 0.5, but must be 1.0 unless config.data.mapper is one of coco",
        ),
        (
            "data.augment.pre_crop_short_edges=400",
            "is (400,), but must be () unless config.data.mapper is one of coco",
        ),
        (
            "data.augment.crop_kind=absolute_range",
            "must be 'absolute' unless config.data.mapper is one of coco",
        ),
    ],
)
def test_values_that_make_no_sense_are_refused(override, message):
    check_config(valid_config())
    with pytest.raises(UserError) as error:
        check_config(apply_overrides(valid_config(), [override]))
    assert message in str(error.value)


def test_a_range_of_crop_sizes_must_rise():
    overrides = ["data.mapper=coco_panoptic", "data.augment.crop_kind=absolute_range"]
    check_config(apply_overrides(valid_config(), [*overrides, "data.augment.crop_size=384,600"]))
    with pytest.raises(
        UserError, match=r"crop_size is \(600, 384\), but must be \(least, largest\) side"
    ):
        check_config(
            apply_overrides(valid_config(), [*overrides, "data.augment.crop_size=600,384"])
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model.head=per_pixel", "eval.task=panoptic"],
            "config.eval.task is 'panoptic', but must be 'semantic'",
        ),
        (
            ["eval.task=instance", "eval.tta.enabled=true"],
            "config.eval.tta.enabled is True, but must be False",
        ),
        (["eval.semantic_rule=general", "eval.tta.enabled=true"], "only class sums have a mean"),
        (["eval.tta.enabled=true"], "config.eval.tta.short_edges is (), but must be at least one"),
    ],
)
def test_evaluations_that_make_no_sense_are_named(overrides, message):
    config = valid_config()
    config.eval.tta.short_edges = () if len(overrides) == 1 else (32,)
    check_config(config)
    with pytest.raises(UserError, match=re.escape(message)):
        check_config(apply_overrides(config, overrides))


def test_batch_must_divide_over_data_and_fsdp():
    check_config(apply_overrides(valid_config(), ["mesh.data=4", "mesh.fsdp=4"]))
    with pytest.raises(UserError, match=r"\(32\)"):
        check_config(apply_overrides(valid_config(), ["mesh.data=8", "mesh.fsdp=4"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone.drop_path=1.0", "drop_path is 1.0, but must be at least 0 and below 1"),
        ("model.backbone.window=0", "window is 0, but must be above 0"),
        (
            "model.backbone.num_heads=3,6,12,25",
            "num_heads is (3, 6, 12, 25), but must be divisors of the widths",
        ),
    ],
)
def test_swin_values_that_make_no_sense_are_refused(override, message):
    with pytest.raises(UserError) as error:
        check_config(apply_overrides(swin_config(), [override]))
    assert message in str(error.value)
