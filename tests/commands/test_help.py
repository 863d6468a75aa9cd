"""`--help`, `--help-config` and `show-config`."""

import sys

import pytest
from command_line import run

from maskformer_jax.__main__ import COMMANDS
from maskformer_jax.config.io import load_config, to_json

MAPPERS = ("semantic,", "panoptic,", "coco_panoptic,", "instance")


@pytest.mark.parametrize("argv", [[], ["--help"], ["help"]])
def test_help_lists_every_command(argv, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["maskformer-jax"])
    assert run(*argv) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:1] == " "]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command, capsys):
    assert run(command, "--help") == 0
    assert f"python -m maskformer_jax {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_is_short_and_names_the_list_of_fields(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert "--help-config" in text
    assert "--config.optim.learning_rate" not in text
    assert len(text.splitlines()) < 50


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_config_lists_fields_with_types_and_values(command, capsys):
    assert run(command, "--help-config") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["--config.optim.learning_rate=0.0001", "float"] in lines
    assert ["--config.data.mapper=semantic", "one", "of", *MAPPERS] in lines


def test_help_config_lists_the_parts_of_the_chosen_config(capsys):
    swin = "--config=ade20k-150/swin/maskformer_swin_tiny_bs16_160k"
    switch = "--config.model.pixel_decoder.type=transformer_fpn"
    assert run("train", "--help-config", swin, switch) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["--config.optim.learning_rate=6e-05", "float"] in lines
    assert ["--config.model.backbone.type=swin", "one", "of", "resnet,", "swin"] in lines
    assert ["--config.model.backbone.window=7", "int"] in lines
    assert ["--config.model.pixel_decoder.num_layers=6", "int"] in lines
    assert not any(words[0].startswith("--config.model.backbone.depth=") for words in lines)


def test_show_config_prints_values_with_overrides(capsys):
    name = "camvid/maskformer_R50"
    assert run("show-config", name, "--config.train.seed=7", "--config.optim.b1", "0.5") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["seed", "7", "command", "line"] in lines
    assert ["b1", "0.5", "command", "line"] in lines
    assert ["dataset", "camvid", "config", "file,", "line"] in [words[:-1] for words in lines]


def test_show_config_of_a_run(tmp_path, capsys):
    config = load_config("shapes/maskformer_R18")
    (tmp_path / "config.json").write_text(to_json(config))
    assert run("show-config", str(tmp_path / "config.json")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["dataset", "shapes", "config.json"] in lines
    assert ["b2", "0.999", "default"] in lines
