"""Published models on deterministic weights, and what the official code computes with them.

The weights are rebuilt from names and shapes, written as a released `.pkl` and read back by our
own reader, as a user's file would be.

The files hold the published numbers that the tests use: those of R50 are whole; the others lack
what the tests of R50 cover, and a key such as "B/pred_masks[::4]" says which part was kept.
"""

import ctypes
import gc
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import golden_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from golden_cases import CASES, Case
from training_case import make_differentiate

from maskformer_jax.config import Config, ModelConfig
from maskformer_jax.convert import official, readers
from maskformer_jax.models.build import build_model

HERE = Path(__file__).parent
SHAPES_FILE = HERE / "checkpoint_shapes.json"


class Golden(dict[str, np.ndarray]):
    """The arrays of a file by key; a part of a tensor goes by the tensor's key."""

    def part(self, key: str, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same part of `full` and of the stored array."""
        stored = next(k for k in self if re.fullmatch(re.escape(key) + r"(\[::\d+\])?", k))
        step = re.search(r"\[::(\d+)\]$", stored)
        return full[:: int(step[1]) if step else 1], self[stored]


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    yield request.param
    # The compiled networks of eight models together take 10 GB. What is freed stays with the
    # process until it is told to give it back, and two workers would fill 24 GB.
    jax.clear_caches()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session")
def golden(case: Case) -> Golden:
    """The arrays of the golden file, all but "meta"."""
    with np.load(HERE / f"{case.name}.npz") as archive:
        return Golden({name: archive[name] for name in archive.files if name != "meta"})


@pytest.fixture(scope="session")
def golden_meta(case: Case) -> dict[str, Any]:
    """Seed, digest, number of classes, parameter names, ... of the golden file."""
    with np.load(HERE / f"{case.name}.npz") as archive:
        return json.loads(str(archive["meta"]))


@pytest.fixture(scope="session")
def published_shapes(golden_meta: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Published name to shape, current naming."""
    config = golden_meta["config"].removesuffix(".yaml")
    return golden_weights.config_shapes(config, SHAPES_FILE)


@pytest.fixture(scope="session")
def published_tensors(
    published_shapes: dict[str, tuple[int, ...]], golden_meta: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The weights under their published names, current naming."""
    return golden_weights.state_dict(published_shapes, golden_meta["seed"])


@pytest.fixture(scope="session")
def model_config(case: Case) -> ModelConfig:
    return case.config()


@pytest.fixture(scope="session")
def model(model_config: ModelConfig, golden_meta: dict[str, Any]) -> nn.Module:
    return build_model(model_config, num_classes=golden_meta["num_classes"])


@pytest.fixture(scope="session")
def template(model: nn.Module) -> Any:
    """The shapes of the model's variables."""
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3), jnp.uint8))


@pytest.fixture(scope="session")
def variables(
    published_tensors: dict[str, np.ndarray],
    template: Any,
    model_config: ModelConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """The weights as variables of our model, by way of a `.pkl` in the released naming."""
    path = tmp_path_factory.mktemp("golden") / "golden.pkl"
    golden_weights.write_pkl(path, published_tensors, old_names=True)
    arrays = official.to_variables(readers.read_tensors(path), template, model_config)
    path.unlink()  # 160 MB and more
    return jax.tree.map(jnp.asarray, arrays)


@pytest.fixture(scope="session")
def config(case: Case, model_config: Any) -> Config:
    """The published recipe as far as it matters here, Swin's without warm-up."""
    config = Config(model=model_config)
    if "swin" in case.name:
        config.optim.learning_rate = 6e-5
        config.optim.backbone_multiplier = 1.0
        config.optim.weight_decay = 0.01
    return config


@pytest.fixture(scope="session")
def differentiate(model: Any, config: Config, golden_meta: dict) -> Callable:
    return make_differentiate(model, config, golden_meta["num_classes"])
