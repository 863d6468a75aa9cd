"""The config of a run, kept as JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_configs import valid_config

from maskformer_jax.config.io import (
    from_json,
    list_config_names,
    load_config,
    read_json,
    to_json,
)
from maskformer_jax.errors import UserError


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


def test_fields_of_earlier_versions_are_ignored():
    """Runs of earlier versions resume and are evaluated."""
    assert from_json('{"eval": {"size_multiple": 32, "short_edge": 300}}').eval.short_edge == 300


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
