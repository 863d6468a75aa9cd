"""Compiler options: those that this version of XLA knows, on the platform that needs them."""

import importlib.util
import os
import re
import subprocess
import sys
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import pytest

from maskformer_jax import compiler_options as module
from maskformer_jax.compiler_options import inference_options, training_options

CPU = jax.devices("cpu")[0]

STRIPS = """
import jax, jax.numpy as jnp
from maskformer_jax.compiler_options import inference_options, training_options
from maskformer_jax.planning.topology import describe_topology

jax.config.update("jax_platforms", "cpu")
device = describe_topology("v5e:1x1").devices[0]
sharding = jax.sharding.SingleDeviceSharding(device)
shapes = [
    jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=sharding)
    for shape in ((4, 64, 64, 128), (3, 3, 128, 128))
]
convolve = lambda x, kernel: jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
)
options = inference_options(device, images=4)
assert options == training_options(device, images=2, remat=True) != {}
assert inference_options(device) == training_options(device, images=1) == {}
for options in ({}, options):
    compiled = jax.jit(convolve, compiler_options=options).lower(*shapes).compile()
    print("strips" if " pad(" in compiled.as_text() else "whole")
"""


def test_a_cpu_compiles_with_them() -> None:
    options = training_options(CPU, remat=True)
    assert options["xla_disable_hlo_passes"] == "cse_barrier_expander"
    run = jax.jit(lambda x: x + 1, compiler_options=options)
    assert run(jnp.float32(1)) == 2
    assert "xla_disable_hlo_passes" not in training_options(CPU)


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NO_YNN", {"xla_cpu_no_such_option": ""})
    assert training_options(CPU) == {}


def test_inference_on_a_cpu_keeps_barriers() -> None:
    options = inference_options(CPU)
    assert options == {"xla_disable_hlo_passes": "cse_barrier_expander"}

    def read_twice(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        once = jax.lax.optimization_barrier(jnp.sin(x))
        return once.sum(), jnp.cumsum(once)

    def sines(options: dict) -> int:
        compiled = jax.jit(read_twice, compiler_options=options).lower(jnp.ones(99)).compile()
        return len(re.findall(r" sine\(", compiled.as_text()))

    assert sines({}) == 2
    assert sines(options) == 1


def test_products_on_a_gpu_are_left_to_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_known", lambda *_: True)
    gpu = Mock(spec=jax.Device, platform="gpu")
    options = inference_options(gpu, images=4)
    assert options == training_options(gpu, remat=True) == {"xla_gpu_enable_triton_gemm": False}
    # The CPU compiler, which reads all options, knows it, so the name is right.
    assert jax.jit(lambda x: x + 1, compiler_options=options)(jnp.float32(1)) == 2


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs the extra `plan-tpu`")
def test_a_tpu_convolves_images_whole() -> None:
    # In a process of its own: libtpu is loaded for good.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    command = [sys.executable, "-c", STRIPS]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["strips", "whole"]
