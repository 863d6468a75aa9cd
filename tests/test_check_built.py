"""Where a config that asks for what cannot be run yet comes to an end, before anything is done."""

from pathlib import Path

import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.config import Config, DataConfig
from maskformer_jax.errors import UserError
from maskformer_jax.pretrained import Loaded
from maskformer_jax.scoring import evaluate_checkpoint
from maskformer_jax.training.loop import train


@pytest.fixture
def config() -> Config:
    config = Config(data=DataConfig(dataset="shapes", root="nowhere"))
    config.eval.tta.enabled = True
    return config


def test_training(config, tmp_path):
    with pytest.raises(UserError, match=r"config\.eval\.tta\.enabled=True"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluation(config):
    with pytest.raises(UserError, match=r"config\.eval\.tta\.enabled=True"):
        evaluate_checkpoint(config, Path("nowhere"))


def test_prediction(config):
    loaded = Loaded(model=nn.Module(), variables=None, config=config, categories=())
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match=r"config\.eval\.tta\.enabled=True"):
        loaded.predict(image)
