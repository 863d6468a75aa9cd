"""Values set on the command line."""

import dataclasses

import pytest
from sample_configs import swin_config, valid_config, values

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.config.check import check_config
from maskformer_jax.config.io import (
    from_json,
    to_json,
)
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.errors import UserError


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optim.learning_rate=6e-5", "optim.learning_rate", 6e-5),
        ("optim.learning_rate=1", "optim.learning_rate", 1.0),
        ("--config.optim.learning_rate=2.5", "optim.learning_rate", 2.5),
        ("config.train.num_steps=7", "train.num_steps", 7),
        ("mesh.data=-1", "mesh.data", -1),
        ("data.augment.flip=false", "data.augment.flip", False),
        ("model.backbone.stride_in_1x1=True", "model.backbone.stride_in_1x1", True),
        ("data.augment.crop_size=(360,480)", "data.augment.crop_size", (360, 480)),
        ("data.augment.crop_size=360, 480", "data.augment.crop_size", (360, 480)),
        ("data.augment.crop_size=[360,480]", "data.augment.crop_size", (360, 480)),
        ("data.augment.short_edges=96", "data.augment.short_edges", (96,)),
        ("model.pixel_std=1,1,1", "model.pixel_std", (1.0, 1.0, 1.0)),
        ("model.backbone.depth=18", "model.backbone.depth", 18),
        ("data.format=tfds", "data.format", "tfds"),
        ("data.root=/data/a=b, c", "data.root", "/data/a=b, c"),
        ("data.root=2017", "data.root", "2017"),
        ("data.root='quoted'", "data.root", "quoted"),
        ("data.root=", "data.root", ""),
    ],
)
def test_override_sets_one_field_and_its_type(override, path, value):
    before = valid_config()
    after = values(apply_overrides(before, [override]))
    assert after[path] == value
    assert type(after[path]) is type(value)
    assert after == {**values(before), path: value}


def test_overrides_leave_the_given_config_alone_and_the_last_one_counts():
    config = valid_config()
    changed = apply_overrides(config, ["train.seed=1", "train.seed=2", "data.root=x"])
    assert (changed.train.seed, changed.data.root) == (2, "x")
    assert config == valid_config()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optim.lerning_rate=1",
            "no field config.optim.lerning_rate; did you mean config.optim.le",
        ),
        ("optm.lerning_rate=1", "did you mean config.optim?"),
        ("learning_rate=1", "did you mean config.optim.learning_rate?"),
        ("model.learning_rate=1", "did you mean config.optim.learning_rate?"),
        ("mesh.zzz=1", "there are: data, fsdp"),
        ("optim=1", "config.optim is a section"),
        ("data.augment=1", "config.data.augment.short_edges=VALUE"),
        ("train.seed.deep=1", "config.train.seed is a single value; it has no field 'deep'"),
        ("train.seed", "config.train.seed needs a value"),
        ("train.num_steps=1e5", "config.train.num_steps is '1e5', but must be int"),
        ("train.num_steps=True", "config.train.num_steps is 'True', but must be int"),
        ("optim.learning_rate=fast", "config.optim.learning_rate is 'fast', but must be float"),
        ("optim.learning_rate=true", "config.optim.learning_rate is 'true', but must be float"),
        ("data.augment.flip=1", "config.data.augment.flip is '1', but must be true or false"),
        ("data.augment.crop_size=512", "crop_size is '512', but must be (int, int)"),
        ("data.augment.crop_size=1,2,3", "crop_size is '1,2,3', but must be (int, int)"),
        ("data.augment.short_edges=a,b", "must be tuple of int"),
        ("data.mapper=zip", "config.data.mapper is 'zip', but must be one of semantic, panoptic,"),
        ("train.seed={[]: 1}", "config.train.seed is '{[]: 1}', but must be int"),
        ("model.backbone.depth=19", "is '19', but must be one of 18, 34, 50, 101"),
    ],
)
def test_bad_override_names_the_field_and_what_would_be_right(override, message):
    with pytest.raises(UserError) as error:
        apply_overrides(valid_config(), [override])
    assert message in str(error.value)


def test_the_backbones_type_decides_what_it_is():
    config = swin_config()
    check_config(config)
    assert from_json(to_json(config)) == config
    changed = apply_overrides(config, ["model.backbone.depths=2,2,18,2"])
    assert changed.model.backbone == SwinConfig(window=12, depths=(2, 2, 18, 2))
    with pytest.raises(UserError, match=r"no field config\.model\.backbone\.freeze_at"):
        apply_overrides(config, ["model.backbone.freeze_at=1"])


def test_every_leaf_is_walked():
    def count(section: object) -> int:
        if not dataclasses.is_dataclass(section):
            return 1
        return sum(count(getattr(section, field.name)) for field in dataclasses.fields(section))

    assert len(values(Config())) == count(Config())
