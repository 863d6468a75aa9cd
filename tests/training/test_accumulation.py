"""A batch gone through in parts: the same losses, gradient and update as at once."""

import jax
import numpy as np
import pytest
from toy_training import Toy

from maskformer_jax.config import Config, LossConfig, MeshConfig, OptimConfig
from maskformer_jax.errors import UserError


def run(**settings: object) -> tuple:
    optim = OptimConfig(clip_norm=100.0, accumulate_steps=settings.pop("parts", 1))
    loss = LossConfig(class_groups=settings.pop("groups", 1))
    toy = Toy(Config(optim=optim, loss=loss, mesh=MeshConfig(data=settings.pop("devices", 1))))
    state, metrics = toy.step(toy.fresh(), toy.batch)
    return jax.device_get((state.params, metrics))


@pytest.fixture(scope="module")
def whole() -> tuple:
    return run()


def assert_close(ours: tuple, expected: tuple) -> None:
    (params, metrics), (wanted_params, wanted) = ours, expected
    assert set(metrics) == set(wanted)
    for name, value in metrics.items():
        np.testing.assert_allclose(value, wanted[name], rtol=2e-6, err_msg=name)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8), params, wanted_params
    )


def test_parts_give_what_the_whole_gives(whole: tuple) -> None:
    assert_close(run(parts=4), whole)  # the images have 3, 0, 2 and 4 segments


@pytest.mark.skipif(jax.device_count() < 4, reason="needs two devices, see conftest.py")
def test_parts_on_two_devices(whole: tuple) -> None:
    assert_close(run(parts=2, devices=2), whole)


def test_class_groups_survive_parts(whole: tuple) -> None:
    grouped = run(groups=2)
    assert abs(grouped[1]["loss_class"] - whole[1]["loss_class"]) > 1e-4
    assert_close(run(groups=2, parts=4), grouped)


def test_parts_that_devices_cannot_share_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size is 4, but must be a multiple of 3 "):
        run(parts=3)


@pytest.mark.parametrize(("parts", "images"), [(1, 4), (2, 2)])
def test_the_compiler_is_told_how_many_images_a_device_has_at_a_time(
    parts: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}

    def remember(device: jax.Device, **settings: object) -> dict[str, str]:
        told.update(settings, device=device)
        return {}

    monkeypatch.setattr("maskformer_jax.training.step.training_options", remember)
    Toy(Config(optim=OptimConfig(accumulate_steps=parts)))
    assert told == {"images": images, "remat": False, "device": jax.devices()[0]}
