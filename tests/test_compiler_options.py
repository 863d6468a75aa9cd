"""Compiler options: those that this version of XLA knows, on the platform that needs them."""

import jax
import jax.numpy as jnp
import pytest

from maskformer_jax import compiler_options as module
from maskformer_jax.compiler_options import compiler_options


def test_a_cpu_compiles_with_them() -> None:
    options = compiler_options("cpu", remat=True)
    assert options["xla_disable_hlo_passes"] == "cse_barrier_expander"
    run = jax.jit(lambda x: x + 1, compiler_options=options)
    assert run(jnp.float32(1)) == 2


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_YNN", "xla_cpu_no_such_option")
    assert compiler_options("cpu") == {}


def test_other_platforms_need_none() -> None:
    assert compiler_options("tpu", remat=True) == compiler_options("gpu") == {}
