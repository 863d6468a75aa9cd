"""Published files to our variables and back: every tensor stays what it is."""

from pathlib import Path
from typing import Any

import golden_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.checkpoints.export import write_published
from maskformer_jax.config.io import load_config
from maskformer_jax.convert.official import from_variables, to_variables
from maskformer_jax.convert.readers import read_tensors
from maskformer_jax.zoo.by_name import create_model

SHAPES_FILE = Path(__file__).parent / "checkpoint_shapes.json"
CONFIGS = {
    "R50": "ade20k-150/maskformer_R50_bs16_160k",
    "swin_tiny": "ade20k-150/swin/maskformer_swin_tiny_bs16_160k",
}


def draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Random tensors, with the constants that a published file holds."""
    rng = np.random.default_rng(0)
    tensors = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    for name, x in tensors.items():
        if name == "criterion.empty_weight":
            tensors[name] = np.float32([1.0] * (x.size - 1) + [0.1])
        elif name.endswith("relative_position_index"):
            tensors[name] = golden_weights.relative_position_index(x.shape[0])
    return tensors


@pytest.fixture(scope="module", params=CONFIGS)
def published(request) -> tuple[str, dict[str, np.ndarray], Any]:
    """The name of a config, the tensors of its file, and the template of its variables."""
    name = CONFIGS[request.param]
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    template = jax.eval_shape(create_model(name).init, jax.random.key(0), images)
    return name, draw(golden_weights.config_shapes(name, SHAPES_FILE)), template


def assert_same(ours, theirs) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        np.testing.assert_array_equal(ours[name], tensor, err_msg=name)


@pytest.mark.parametrize("old_names", [False, True])
def test_every_tensor_comes_back(published, old_names):
    name, tensors, template = published
    model = load_config(name).model
    if old_names:
        tensors = {golden_weights.old_name(name): x for name, x in tensors.items()}
    naming = "released" if old_names else "current"
    variables = to_variables(tensors, template, model)
    exported = from_variables(variables, model, naming=naming, no_object_weight=0.1)
    assert_same(exported, tensors)


def test_a_file_as_released_comes_back_through_files(published, tmp_path):
    name, tensors, template = published
    golden_weights.write_pkl(tmp_path / "a.pkl", tensors, old_names=True)
    config = load_config(name)
    variables = to_variables(read_tensors(tmp_path / "a.pkl"), template, config.model)
    write_published(variables, config, tmp_path / "b.pkl")
    assert_same(read_tensors(tmp_path / "b.pkl"), read_tensors(tmp_path / "a.pkl"))
