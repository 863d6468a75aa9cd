"""Evaluation spread over devices: what the compiler is told."""

import jax
import numpy as np
import pytest

from maskformer_jax.config import Config
from maskformer_jax.evaluation.buckets import Bucket
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.programs import Programs
from maskformer_jax.models.build import build_model
from maskformer_jax.postprocess.image_sizes import MapWork

HIGHEST, HIGH = jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGH


@pytest.mark.parametrize("devices", [1, 2])
def test_the_compiler_is_told_how_many_images_a_device_has(
    devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if jax.local_device_count() < devices:
        pytest.skip("needs two devices")
    told = []

    def remember(device: jax.Device, *, images: int) -> dict[str, str]:
        told.append((device, images))
        return {}

    monkeypatch.setattr("maskformer_jax.evaluation.devices.inference_options", remember)
    local = LocalDevices(jax.local_devices()[:devices])
    batch = (np.zeros((6, 4), np.float32), np.zeros((6, 2), np.int32))
    local.lower(lambda scale, batch: scale * batch[0], np.float32(2), batch)
    assert told == [(jax.local_devices()[0], 6 // devices)]


@pytest.mark.parametrize(
    ("platform", "dtype", "expected"),
    [
        ("tpu", "float32", MapWork(2**26, 32, 125, True, HIGHEST)),
        ("tpu", "bfloat16", MapWork(2**26, 32, 125, True, HIGH)),
        ("cpu", "float32", MapWork(2**22, 1, 64, False, HIGHEST)),
        ("gpu", "bfloat16", MapWork(2**22, 1, 64, False, HIGH)),
    ],
)
def test_work_on_maps_suits_platform_and_precision(
    platform: str, dtype: str, expected: MapWork
) -> None:
    class Devices(LocalDevices):
        platform = ""

    devices = Devices()
    devices.platform = platform
    config = Config()
    config.model.compute_dtype = dtype
    model = build_model(config.model, num_classes=2)
    programs = Programs(model, config, categories=(), devices=devices)
    bucket = Bucket(image_size=(64, 64), output_size=(64, 64), shrinkage=1.0, exact=False)
    assert programs.sizes(bucket).work == expected
