"""Five updates on eight devices equal those on one, however the mesh is laid out."""

import os
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from maskformer_jax.config import Config, MeshConfig, SwinConfig
from maskformer_jax.data.pipeline import train_batches
from maskformer_jax.training.loop import Training
from maskformer_jax.training.mesh import MIN_SHARDED_SIZE, put_batch
from maskformer_jax.training.state import TrainState

pytestmark = pytest.mark.slow
EIGHT = jax.device_count() >= 8
# So low that rounding does not grow from step to step: at 1e-3 a mere change of the order of the
# images, on one device, changes the gradient of the fifth step by a thousandth.
LEARNING_RATE = 1e-5
MESHES = [MeshConfig(data=8), MeshConfig(data=4, fsdp=2), MeshConfig(data=1, fsdp=8)]


@pytest.mark.skipif(EIGHT, reason="has them")
def test_with_eight_devices() -> None:
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    environment = {**os.environ, "XLA_FLAGS": flags, "NPROC": "32"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", __file__]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


def five_updates(config: Config, mesh: MeshConfig) -> tuple[dict[str, Any], Any, TrainState]:
    """The metrics and Adam's first moment (the clipped gradient) after one, the state after all."""
    config.mesh = mesh
    training = Training(config)
    state = training.fresh()
    check_sharding(state, mesh.fsdp)
    with train_batches(config) as batches:
        state, metrics = training.step(state, put_batch(next(batches), training.mesh))
        moments = jax.device_get(state.opt_state)
        for _ in range(4):
            state, _ = training.step(state, put_batch(next(batches), training.mesh))
    check_sharding(state, mesh.fsdp)
    return jax.device_get(metrics), moments, jax.device_get(state)


def check_sharding(state: TrainState, parts: int) -> None:
    """Every array that can be split is: each device holds one of the parts, and nothing more."""
    split = 0
    for array in jax.tree.leaves((state.params, state.opt_state)):
        can = array.size >= MIN_SHARDED_SIZE and any(size % parts == 0 for size in array.shape)
        for shard in array.addressable_shards:
            assert shard.data.size == (array.size // parts if can else array.size)
        split += can
    assert split > 10


def assert_close(left: Any, right: Any, *, atol: float) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=5e-6, atol=atol)


@pytest.mark.skipif(not EIGHT, reason="needs 8 devices; the test above starts it with them")
@pytest.mark.parametrize("backbone", ["resnet", "swin"])
def test_five_updates(tiny_config: Config, backbone: str) -> None:
    tiny_config.train.batch_size = 8
    tiny_config.model.transformer_decoder.num_layers = 1
    tiny_config.model.backbone.width = 16
    if backbone == "resnet":
        tiny_config.model.backbone.depth = 50
    else:
        tiny_config.model.backbone = SwinConfig(
            embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), window=3
        )
    tiny_config.optim.learning_rate = LEARNING_RATE
    # Adam divides by the size of the gradient: what is rounding there must not become a step.
    tiny_config.optim.eps = 1e-3
    metrics, moments, state = five_updates(tiny_config, MeshConfig(data=1))
    for mesh in MESHES:
        other_metrics, other_moments, other_state = five_updates(tiny_config, mesh)
        assert set(other_metrics) == set(metrics)
        for name, value in metrics.items():
            rtol = 5e-5 if name == "grad_norm" else 5e-6
            np.testing.assert_allclose(other_metrics[name], value, rtol=rtol, err_msg=name)
        largest = max(np.abs(array).max() for array in jax.tree.leaves(moments))
        assert_close(other_moments, moments, atol=5e-6 * largest)
        # A fiftieth of the way that a parameter can have gone, the learning rate in each step.
        assert_close(other_state.params, state.params, atol=0.02 * 5 * LEARNING_RATE)
