"""A new part is a folder of its own and one line in a table: nothing else has to know of it."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_parts.toy_backbone.config import ToyBackboneConfig
from toy_parts.toy_decoder.config import ToyDecoderConfig

from maskformer_jax.checkpoints.export import write_huggingface, write_published
from maskformer_jax.config import Config, FPNConfig
from maskformer_jax.config.check import check_config
from maskformer_jax.config.io import from_json, to_json
from maskformer_jax.config.overrides import apply_overrides
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.table import BACKBONES
from maskformer_jax.parts.backbones.variants import make_variant
from maskformer_jax.parts.transformer_decoders.table import TRANSFORMER_DECODERS
from maskformer_jax.pretrained import load_pretrained
from maskformer_jax.training.loop import Training, train
from maskformer_jax.training.pretrained_backbone import load_backbone


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "toy", ToyBackboneConfig)
    monkeypatch.setitem(TRANSFORMER_DECODERS, "toy", ToyDecoderConfig)


@pytest.fixture
def config(tiny_config: Config) -> Config:
    tiny_config.model.backbone = ToyBackboneConfig()
    tiny_config.model.pixel_decoder = FPNConfig(conv_dim=32, mask_dim=8)
    tiny_config.model.transformer_decoder = ToyDecoderConfig(num_queries=12)
    tiny_config.train.num_steps = 1
    tiny_config.train.eval_every = 1
    return tiny_config


def assert_same(ours: object, theirs: object) -> None:
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_config_knows_the_new_kinds(config: Config) -> None:
    check_config(config)
    assert from_json(to_json(config)) == config
    changed = apply_overrides(
        Config(), ["model.backbone.width=5", "--config.model.backbone.type=toy"]
    )
    assert changed.model.backbone == ToyBackboneConfig(width=5)
    with pytest.raises(UserError, match=r"config\.model\.backbone\.width is 0, but must be above"):
        check_config(apply_overrides(config, ["model.backbone.width=0"]))
    assert make_variant("toy_wide") == ToyBackboneConfig(width=16)


def test_the_new_parts_train_a_step_and_are_saved_restored_and_converted(
    config: Config, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    start = jax.device_get(Training(config).fresh().params)
    train(config, workdir)
    loaded = load_pretrained(workdir)
    assert loaded.config.model == config.model
    params = jax.device_get(loaded.variables["params"])
    for part in ("backbone", "pixel_decoder", "transformer_decoder"):
        moved = [
            np.any(old != new)
            for old, new in zip(
                jax.tree.leaves(start[part]), jax.tree.leaves(params[part]), strict=True
            )
        ]
        assert sum(moved) >= len(moved) - 1, part

    write_published(loaded.variables, config, tmp_path / "toy.pkl")
    tensors = read_tensors(tmp_path / "toy.pkl")
    assert tensors["backbone.conv16.weight"].shape == (16, 8, 4, 4)
    assert tensors["sem_seg_head.predictor.class_layer.weight"].shape == (
        len(loaded.categories) + 1,
        16,
    )
    assert "backbone.version" in tensors
    np.savez(
        tmp_path / "plain.npz",
        **{name: x for name, x in tensors.items() if name != "backbone.version"},
    )
    back = load_pretrained(tmp_path / "plain.npz", config=config)
    assert_same(back.variables, loaded.variables)

    with pytest.raises(UserError, match=r"config\.model\.transformer_decoder\.type is 'toy'"):
        write_huggingface(loaded.variables, config, tmp_path / "hf", label_names=["a"])


def test_a_new_backbone_starts_from_a_file(config: Config, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "conv4.weight": rng.normal(size=(8, 3, 4, 4)),
        "conv4.bias": rng.normal(size=8),
        "conv16.weight": rng.normal(size=(16, 8, 4, 4)),
        "conv16.bias": rng.normal(size=16),
        "classifier.weight": np.zeros((10, 16)),
    }
    tensors = {name: x.astype(np.float32) for name, x in tensors.items()}
    np.savez(tmp_path / "toy.npz", **tensors)
    config.train.init_backbone = str(tmp_path / "toy.npz")
    backbone = load_backbone(config, Training(config).fresh()).params["backbone"]
    np.testing.assert_array_equal(
        backbone["coarse"]["kernel"], tensors["conv16.weight"].transpose(2, 3, 1, 0)
    )


def test_the_json_of_a_run_names_the_kinds(config: Config) -> None:
    values = json.loads(to_json(config))["model"]
    assert values["backbone"]["type"] == values["transformer_decoder"]["type"] == "toy"
