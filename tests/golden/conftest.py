"""The published R50 model of ADE20K on deterministic weights, and what the official code computes.

The weights are rebuilt from names and shapes, written as a released `.pkl` and read back by our
own reader, as a user's file would be.
"""

import json
from pathlib import Path
from typing import Any

import golden_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from maskformer_jax.config import ModelConfig
from maskformer_jax.convert import official, readers
from maskformer_jax.models.build import build_model

HERE = Path(__file__).parent
MODEL = "maskformer_R50"


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """The arrays of the golden file, all but "meta"."""
    with np.load(HERE / f"{MODEL}.npz") as archive:
        return {name: archive[name] for name in archive.files if name != "meta"}


@pytest.fixture(scope="session")
def golden_meta() -> dict[str, Any]:
    """Seed, digest, number of classes, parameter names, ... of the golden file."""
    with np.load(HERE / f"{MODEL}.npz") as archive:
        return json.loads(str(archive["meta"]))


@pytest.fixture(scope="session")
def published_shapes() -> dict[str, tuple[int, ...]]:
    """Published name to shape, current naming."""
    shapes = json.loads((HERE / f"{MODEL}_shapes.json").read_text())
    return {name: tuple(shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def published_tensors(published_shapes, golden_meta) -> dict[str, np.ndarray]:
    """The weights under their published names, current naming."""
    return golden_weights.state_dict(published_shapes, golden_meta["seed"])


@pytest.fixture(scope="session")
def model_config() -> ModelConfig:
    """The stock R50 model without dropout, as the golden numbers were made."""
    config = ModelConfig()
    config.transformer_decoder.dropout = 0.0
    return config


@pytest.fixture(scope="session")
def model(model_config, golden_meta) -> nn.Module:
    return build_model(model_config, num_classes=golden_meta["num_classes"])


@pytest.fixture(scope="session")
def template(model) -> Any:
    """The shapes of the model's variables."""
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3), jnp.uint8))


@pytest.fixture(scope="session")
def variables(published_tensors, template, tmp_path_factory) -> Any:
    """The weights as variables of our model, by way of a `.pkl` in the released naming."""
    path = tmp_path_factory.mktemp("golden") / "golden.pkl"
    golden_weights.write_pkl(path, published_tensors, old_names=True)
    arrays = official.to_variables(readers.read_tensors(path), template)
    path.unlink()  # 160 MB
    return jax.tree.map(jnp.asarray, arrays)
