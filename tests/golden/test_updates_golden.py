"""Two optimizer steps of the published code on the same weights."""

import dataclasses
import re
from collections.abc import Callable

import jax
import numpy as np
from golden_cases import PER_PIXEL, WITH_CLASSES, Case, for_cases
from jax import numpy as jnp
from training_case import make_batch, make_differentiate, zero_gradient

from maskformer_jax.config import Config, ModelConfig
from maskformer_jax.convert.official import from_variables
from maskformer_jax.models.build import build_model
from maskformer_jax.training.optimizer import make_optimizer
from maskformer_jax.types import Batch

IN_FLOAT64 = "maskformer_R101c"  # whose loss after two updates only float64 gives, see its test


@for_cases(*WITH_CLASSES, *PER_PIXEL)
def test_two_optimizer_steps(
    differentiate: Callable,
    case: Case,
    config: Config,
    variables: dict,
    golden: dict,
    golden_meta: dict,
) -> None:
    # With its warm-up, Swin's first learning rate is below what float32 resolves.
    kind = "optim_nowarmup" if "swin" in case.name else "optim"
    check_two_steps(
        differentiate,
        config,
        variables,
        make_batch(golden),
        golden,
        golden_meta["parameters"],
        kind=kind,
        zero=zero_gradient(case),
        rtol=(2e-5, 1e-4, None if case.name == IN_FLOAT64 else case.bounds.stepped_loss),
        share=0.04,
    )


@for_cases(IN_FLOAT64)
def test_two_optimizer_steps_in_float64(
    model_config: ModelConfig,
    case: Case,
    config: Config,
    variables: dict,
    golden: dict,
    golden_meta: dict,
) -> None:
    """In float32 one activation of res4 lies so near 0 that its ReLU goes the other way.

    The gradients of all layers before it are off by 0.4 % then, within their bounds, and the loss
    after two updates by 0.7 %, beyond its own of 0.1 %.
    """
    num_classes = golden_meta["num_classes"]
    with jax.enable_x64(True):
        model = build_model(
            dataclasses.replace(model_config, compute_dtype="float64"), num_classes=num_classes
        )
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), variables)
        batch = make_batch(golden)
        check_two_steps(
            make_differentiate(model, config, num_classes),
            config,
            wide,
            batch._replace(image=jnp.asarray(batch.image, jnp.float64)),
            golden,
            golden_meta["parameters"],
            kind="optim",
            zero=zero_gradient(case),
            rtol=(1e-6, 1e-6, 1e-4),
            share=1e-3,
        )


def check_two_steps(
    differentiate: Callable,
    config: Config,
    variables: dict,
    batch: Batch,
    golden: dict,
    names: list[str],
    *,
    kind: str,
    zero: re.Pattern,
    rtol: tuple[float, float, float | None],
    share: float,
) -> None:
    """Makes two updates and compares them, and the totals before and after each."""
    params, constants = variables["params"], variables.get("constants", {})
    start = from_variables({"params": jax.device_get(params)}, config.model)
    optimizer = make_optimizer(config, params)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    totals, norms = [], []
    for step in (1, 2):
        (total, _), grads = differentiate(params, constants, batch)
        totals.append(total)
        norms.append(np.sqrt(sum((np.asarray(g) ** 2).sum() for g in jax.tree.leaves(grads))))
        updates, state = update(grads, state, params)
        params = jax.tree.map(lambda param, change: param + change, params, updates)
        now = from_variables({"params": jax.device_get(params)}, config.model)
        delta = {name: now[name].astype(np.float64) - start[name] for name in names}
        check_update(delta, step, golden, names, kind=kind, zero=zero, most=share)
    totals.append(differentiate(params, constants, batch)[0][0])
    np.testing.assert_allclose(norms, golden[f"{kind}/grad_norms"], rtol=1e-2)
    for total, expected, bound in zip(totals, golden[f"{kind}/totals"], rtol, strict=True):
        if bound is not None:
            np.testing.assert_allclose(total, expected, rtol=bound)


def check_update(
    delta: dict[str, np.ndarray],
    step: int,
    golden: dict,
    names: list[str],
    *,
    kind: str,
    zero: re.Pattern,
    most: float,
) -> None:
    """Compares the sum of the first `step` updates with the published one.

    Norms of all tensors, and elements of those that the file holds.
    """
    rate = dict(zip(names, golden[f"{kind}/step_lr"][0], strict=True))
    off, count = 0, 0
    for key in (key for key in golden if key.startswith(f"{kind}/delta{step}/")):
        name, stride = re.fullmatch(r"[^/]+/[^/]+/([^\[]+)(?:\[::(\d+)\])?", key).groups()
        error = np.abs(delta[name][:: int(stride or 1)] - golden[key]) / rate[name]
        share = (error > 0.1).mean()
        assert share < most, f"{name}: {share:.1%} of the elements are off by more than 0.1 lr"
        off, count = off + (error > 0.1).sum(), count + error.size
    assert count > 10_000 or not any(key.startswith(f"{kind}/delta{step}/") for key in golden)
    norms = np.array([np.linalg.norm(delta[name]) for name in names])
    real = np.array([not zero.search(name) for name in names])
    expected = golden[f"{kind}/delta{step}_l2"]
    # float32 parameters near 1 round an update of 1e-4 by 6e-4 of itself, those of the backbone
    # (1e-5) by ten times that; both stay inside the bound.
    relative = np.abs(norms - expected)[real] / expected[real]
    assert relative.max() < 1e-2, names[int(np.flatnonzero(real)[relative.argmax()])]
