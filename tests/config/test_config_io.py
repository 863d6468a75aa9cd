import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskformer_jax.config import Config, SwinConfig
from maskformer_jax.config.check import check_config
from maskformer_jax.config.fields import walk_fields
from maskformer_jax.config.io import (
    config_name,
    from_json,
    list_config_names,
    load_config,
    read_json,
    to_json,
)
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.errors import UserError


def valid_config() -> Config:
    config = Config()
    config.data.dataset = "camvid"
    return config


def write_recipe(folder: Path, *lines: str, name: str = "shop/tiny.py") -> Path:
    """A config file whose get_config() runs these lines; they begin at line 4."""
    file = folder / "configs" / name
    file.parent.mkdir(parents=True)
    body = ["from maskformer_jax.config import *", "def get_config():"]
    body += ["    config = Config(data=DataConfig(dataset='camvid'))"]
    body += [f"    {line}" for line in (*lines, "return config")]
    file.write_text("\n".join(body))
    return file


def values(config: Config) -> dict[str, object]:
    return {field.path: field.value for field in walk_fields(config)}


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


def test_typo_in_a_file_names_file_line_and_near_field(tmp_path):
    file = write_recipe(tmp_path, "config.train.seed = 1", "config.optim.lerning_rate = 1e-4")
    with pytest.raises(UserError) as error:
        load_config(file)
    assert str(error.value) == (
        f"{file}, line 5: OptimConfig has no field 'lerning_rate'; did you mean learning_rate?"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("print(config.optim.pol_power)", "OptimConfig has no field 'pol_power'; did you mean"),
        ("config.train.num_steps = '5'", "config.train.num_steps is '5', but must be int"),
        ("config.data.augment.crop_size = [5, 5]", "crop_size is [5, 5], but must be (int, int)"),
        (
            "config.optim = 1e-4",
            "config.optim is 0.0001, but must be a section of type OptimConfig",
        ),
        (
            "config.data.format = 'zip'",
            "config.data.format is 'zip', but must be one of folder, prepared,",
        ),
        ("undefined()", "line 4: NameError: name 'undefined' is not defined"),
        ("import nothing_of_this_name", "line 4: ModuleNotFoundError"),
        ("1 +", "line 4: invalid syntax"),
        ("return 3", "get_config() must return a Config, not 3"),
        ("config.data.dataset = ''", "config.data.dataset is '', but must be a data set"),
    ],
)
def test_mistake_in_a_file_names_file_and_field(tmp_path, line, message):
    file = write_recipe(tmp_path, line)
    with pytest.raises(UserError) as error:
        load_config(file)
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)


def test_several_wrong_values_are_listed_at_once(tmp_path):
    file = write_recipe(tmp_path, "config.train.seed = 'a'", "config.data.root = 3")
    with pytest.raises(UserError) as error:
        load_config(file)
    assert "config.train.seed is 'a', but must be int" in str(error.value)
    assert "config.data.root is 3, but must be str" in str(error.value)


def test_file_without_get_config(tmp_path):
    file = tmp_path / "empty.py"
    file.write_text("x = 1")
    with pytest.raises(UserError, match=r"empty\.py: a config file needs a function get_config"):
        load_config(file)


def test_unknown_config_suggests_the_nearest_name():
    for name in ("camvid/maskformer_R5", "configs/camvid/maskformer_R5.py"):
        with pytest.raises(UserError, match=r"there is no config .*did you mean camvid/maskformer"):
            load_config(name)


def test_file_that_is_no_config_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("")
    with pytest.raises(UserError, match=r"notes\.txt is no config"):
        load_config(file)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/a/configs/camvid/small.py", "camvid/small"),
        ("/a/configs/ade20k-150/swin/tiny.py", "ade20k-150/swin/tiny"),
        ("/configs/a/configs/b/c.py", "b/c"),
        ("/a/configs/plain.py", "plain"),
        ("/a/configs/configs.py", "configs"),
        ("/home/me/mine.py", "me/mine"),
        ("/home/x/configs.py", "x/configs"),
    ],
)
def test_name_comes_from_the_place(file, name):
    assert config_name(Path(file)) == name


def test_name_of_a_loaded_file(tmp_path):
    file = write_recipe(tmp_path, "config.name = 'ignored'", name="shop/swin/tiny.py")
    assert load_config(file).name == "shop/swin/tiny"


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


@given(
    learning_rate=st.floats(min_value=0, allow_nan=False),
    edges=st.lists(st.integers()),
    root=st.text(),
    flip=st.booleans(),
)
def test_json_round_trip(learning_rate, edges, root, flip):
    config = valid_config()
    config.optim.learning_rate = learning_rate
    config.data.augment.short_edges = tuple(edges)
    config.data.root = root
    config.data.augment.flip = flip
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize("name", list_config_names())
def test_json_round_trip_of_every_config(tmp_path, name):
    config = load_config(name)
    (tmp_path / "config.json").write_text(to_json(config))
    assert load_config(tmp_path / "config.json") == config


def swin_config() -> Config:
    config = valid_config()
    config.model.backbone = SwinConfig(window=12)
    return config


def test_the_backbones_type_decides_what_it_is():
    config = swin_config()
    check_config(config)
    assert from_json(to_json(config)) == config
    changed = apply_overrides(config, ["model.backbone.depths=2,2,18,2"])
    assert changed.model.backbone == SwinConfig(window=12, depths=(2, 2, 18, 2))
    with pytest.raises(UserError, match=r"no field config\.model\.backbone\.freeze_at"):
        apply_overrides(config, ["model.backbone.freeze_at=1"])


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


def test_json_lacking_a_field_takes_its_default():
    assert from_json('{"data": {"dataset": "camvid"}}') == valid_config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a config in JSON"),
        ("[]", "the config is [], but must be a JSON object"),
        ('{"optim": 3}', "config.optim is 3, but must be a JSON object"),
        ('{"optim": {"learnin_rate": 3}}', "no field config.optim.learnin_rate; did you mean lear"),
        ('{"train": {"seed": "a"}}', "config.train.seed is 'a', but must be int"),
        (
            '{"model": {"backbone": {"type": "vit"}}}',
            "type is 'vit', but must be one of resnet, swin",
        ),
    ],
)
def test_bad_json_names_file_and_field(tmp_path, text, message):
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_json(file)
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)


def test_values_of_a_run_are_checked_when_it_is_loaded_by_its_file(tmp_path):
    config = valid_config()
    config.optim.clip_norm = -1.0
    (tmp_path / "config.json").write_text(to_json(config))
    with pytest.raises(
        UserError, match=r"config\.json: config\.optim\.clip_norm is -1\.0, but must be above"
    ):
        load_config(tmp_path / "config.json")


def test_every_leaf_is_walked():
    def count(section: object) -> int:
        if not dataclasses.is_dataclass(section):
            return 1
        return sum(count(getattr(section, field.name)) for field in dataclasses.fields(section))

    assert len(values(Config())) == count(Config())
