"""A published checkpoint in each kind of file: loaded, and refused with all its mistakes."""

import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_format import write_torch

from maskformer_jax.checkpoints.load import read_variables
from maskformer_jax.config import ModelConfig
from maskformer_jax.convert.official import from_variables
from maskformer_jax.errors import UserError
from maskformer_jax.models.build import build_model

KINDS = ["model.pkl", "zip.pth", "plain.pth", "model.safetensors", "model.npz"]


def write(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": tensors, "__author__": "me"}))
    elif path.suffix == ".pth":
        write_torch(path, tensors, plain=path.stem == "plain")
    elif path.suffix == ".npz":
        np.savez(path, **tensors)
    else:
        save_file(tensors, path)
    return path


def small_model() -> ModelConfig:
    config = ModelConfig()
    config.backbone.depth, config.backbone.width = 18, 4
    config.pixel_decoder.conv_dim = config.pixel_decoder.mask_dim = 32
    decoder = config.transformer_decoder
    decoder.num_layers, decoder.hidden_dim, decoder.ffn_dim = 1, 32, 16
    return config


@pytest.fixture(scope="module")
def template():
    model = build_model(small_model(), num_classes=3)
    images = jnp.zeros((1, 32, 32, 3), jnp.uint8)
    return jax.eval_shape(model.init, jax.random.key(0), images)


@pytest.fixture(scope="module")
def variables(template):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(rng.random(x.shape, np.float32)), template)


@pytest.fixture
def tensors(variables) -> dict[str, np.ndarray]:
    tensors = from_variables(variables, small_model(), naming="released", no_object_weight=0.1)
    return {name: np.ascontiguousarray(x) for name, x in tensors.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read(kind, tensors, template, variables, tmp_path):
    loaded = read_variables(write(tmp_path / kind, tensors), template, small_model())
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_does_not_fit_is_in_one_message(kind, tensors, template, tmp_path):
    del tensors["sem_seg_head.adapter_2.norm.bias"]
    tensors["sem_seg_head.layer_9.weight"] = np.zeros((1, 2), np.float32)
    tensors["sem_seg_head.mask_features.bias"] = np.zeros(7, np.float32)
    path = write(tmp_path / kind, tensors)
    with pytest.raises(UserError) as error:
        read_variables(path, template, small_model())
    assert str(error.value).splitlines() == [
        f"{path} does not fit the model:",
        "  missing: sem_seg_head.pixel_decoder.adapter_2.norm.bias [32]",
        "  wrong shape: sem_seg_head.mask_features.bias is [7], the model needs [32]",
        "  unexpected: sem_seg_head.layer_9.weight [1, 2]",
    ]
