"""A step on four devices equals the step on one, the matcher included."""

import jax
import numpy as np
import pytest

from maskformer_jax.config import Config, MeshConfig
from maskformer_jax.data.pipeline import train_batches
from maskformer_jax.errors import UserError
from maskformer_jax.training.loop import Training
from maskformer_jax.training.mesh import make_mesh, put_batch
from maskformer_jax.training.step import make_loss_function


def loss_and_gradients(config: Config) -> tuple[dict, dict]:
    training = Training(config)
    loss = make_loss_function(
        training.model, config, num_classes=training.info.num_classes, mesh=training.mesh
    )
    batches = train_batches(config, start_step=0)
    batch = put_batch(next(batches), training.mesh)
    batches.close()
    state = training.fresh()
    differentiate = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, terms), grads = differentiate(state.params, state.constants, batch, jax.random.key(1))
    return jax.device_get(terms), jax.device_get(grads)


@pytest.mark.skipif(jax.device_count() < 4, reason="needs 4 devices")
def test_four_devices_equal_one(tiny_config: Config) -> None:
    one_terms, one_grads = loss_and_gradients(tiny_config)
    scale = max(np.abs(grad).max() for grad in jax.tree.leaves(one_grads))
    for mesh in (MeshConfig(data=4), MeshConfig(data=2, fsdp=2)):
        tiny_config.mesh = mesh
        terms, grads = loss_and_gradients(tiny_config)
        assert set(terms) == set(one_terms)
        for name, value in terms.items():
            np.testing.assert_allclose(value, one_terms[name], rtol=2e-6, err_msg=f"{name}, {mesh}")
        for (path, left), right in zip(
            jax.tree.leaves_with_path(grads), jax.tree.leaves(one_grads), strict=True
        ):
            np.testing.assert_allclose(
                left, right, rtol=1e-4, atol=2e-6 * scale, err_msg=f"{path}, {mesh}"
            )


@pytest.mark.parametrize(
    ("mesh", "batch_size", "words"),
    [
        (MeshConfig(data=3, fsdp=5), 15, "is 5, which does not fit the"),
        (MeshConfig(data=-1), 5, r"batch_size is 5, but must be a multiple of"),
    ],
)
def test_a_mesh_that_does_not_fit_is_named(mesh: MeshConfig, batch_size: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_mesh(mesh, batch_size=batch_size)
