"""Where a config that asks for what cannot be run yet comes to an end, before anything is done."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.config import Config, DataConfig
from maskformer_jax.data.check import check_dataset
from maskformer_jax.errors import UserError
from maskformer_jax.pretrained import Loaded
from maskformer_jax.scoring import evaluate_checkpoint
from maskformer_jax.training.loop import train


@pytest.fixture
def config() -> Config:
    config = Config(data=DataConfig(dataset="shapes", root="nowhere", mapper="panoptic"))
    config.eval.task = "panoptic"
    return config


def test_training(config, tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.mapper='panoptic'"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluation(config):
    with pytest.raises(UserError, match=r"config\.eval\.task='panoptic'"):
        evaluate_checkpoint(config, Path("nowhere"))


def test_prediction(config):
    loaded = Loaded(model=nn.Module(), variables=None, config=config, categories=())
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match=r"config\.eval\.task='panoptic'"):
        loaded.predict(image)


def test_check_of_the_data(config):
    with pytest.raises(UserError, match=r"config\.data\.mapper='panoptic'"):
        check_dataset(config)
    semantic = dataclasses.replace(config.data, mapper="semantic")
    report = check_dataset(dataclasses.replace(config, data=semantic))
    assert "nowhere" in report.problems[0]
