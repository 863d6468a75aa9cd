"""Config files: what they must hold, and the names of configs."""

from pathlib import Path

import pytest

from maskformer_jax.config.io import (
    config_name,
    load_config,
)
from maskformer_jax.errors import UserError


def write_recipe(folder: Path, *lines: str, name: str = "shop/tiny.py") -> Path:
    """A config file whose get_config() runs these lines; they begin at line 4."""
    file = folder / "configs" / name
    file.parent.mkdir(parents=True)
    body = ["from maskformer_jax.config import *", "def get_config():"]
    body += ["    config = Config(data=DataConfig(dataset='camvid'))"]
    body += [f"    {line}" for line in (*lines, "return config")]
    file.write_text("\n".join(body))
    return file


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
