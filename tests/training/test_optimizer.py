"""AdamW, parameter groups and clipping against five updates of the official optimizer."""

import json
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from maskformer_jax.config import (
    Config,
    ModelConfig,
    OptimConfig,
    ResNetConfig,
    SwinConfig,
    TrainConfig,
)
from maskformer_jax.errors import UserError
from maskformer_jax.training import optimizer as optimizer_module
from maskformer_jax.training.optimizer import (
    ParameterGroup,
    clip_by_full_norm,
    make_optimizer,
    parameter_groups,
)

COMPONENTS = np.load(Path(__file__).parents[1] / "golden" / "components.npz")
META = json.loads(str(COMPONENTS["meta"]))
RECIPES = {
    "resnet": OptimConfig(),
    "swin": OptimConfig(
        learning_rate=6e-5,
        backbone_multiplier=1.0,
        weight_decay=1e-2,
        warmup_steps=3,
        warmup_factor=1e-6,
    ),
}


# The tensors of the toy model under the paths of parameters of ours that are of the same sort.
PATHS = {
    "backbone.relative_position_bias_table": (
        "backbone/res2_0/attention/relative_position_bias_table"
    ),
    "backbone.fc.weight": "backbone/res2_0/linear1/kernel",
    "backbone.fc.bias": "backbone/res2_0/linear1/bias",
    "backbone.norm.weight": "backbone/norm_res2/scale",
    "backbone.norm.bias": "backbone/norm_res2/bias",
    "head.weight": "transformer_decoder/class_embed/kernel",
    "head.bias": "transformer_decoder/class_embed/bias",
    "gn.weight": "pixel_decoder/adapter_1/norm/scale",
    "gn.bias": "pixel_decoder/adapter_1/norm/bias",
    "query_embed.weight": "transformer_decoder/query_embed",
}
SWIN = ModelConfig(backbone=SwinConfig())


def nest(prefix: str, dtype: str = "float32") -> dict:
    """The toy model's tensors as a tree under our paths."""
    tree: dict = {}
    for name in META["adamw/resnet"]["names"]:
        *path, leaf = PATHS[name].split("/")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = jnp.asarray(COMPONENTS[f"{prefix}/{name}"], dtype)
    return tree


@pytest.mark.parametrize("kind", ["resnet", "swin"])
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-7), ("float64", 1e-12)])
def test_five_updates_equal_the_official_optimizer(kind: str, dtype: str, bound: float) -> None:
    # float32 rounds a parameter of size 1 by 6e-8, some 6e-4 of the largest update.
    config = Config(model=SWIN, optim=RECIPES[kind], train=TrainConfig(num_steps=10))
    with jax.enable_x64(dtype == "float64"):
        params = nest(f"adamw/{kind}/start", dtype)
        optimizer = make_optimizer(config, params)
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for step in range(5):
            grads = nest(f"adamw/{kind}/grad{step}", dtype)
            norm = COMPONENTS[f"adamw/{kind}/grad_norms"][step]
            np.testing.assert_allclose(optax.tree.norm(grads), norm, rtol=bound)
            updates, state = update(grads, state, params)
            before, params = params, optax.apply_updates(params, updates)
            for ours, official in zip(
                jax.tree.leaves(params),
                jax.tree.leaves(nest(f"adamw/{kind}/after{step}", dtype)),
                strict=True,
            ):
                assert ours.dtype == dtype
                np.testing.assert_allclose(ours, official, rtol=bound, atol=bound)
            if step:
                old, new = (x["transformer_decoder"]["class_embed"] for x in (before, params))
                assert not np.array_equal(old["kernel"], new["kernel"])


@pytest.mark.parametrize("kind", ["resnet", "swin"])
def test_groups_equal_the_official_table(kind: str) -> None:
    groups = parameter_groups(nest(f"adamw/{kind}/start"), SWIN, RECIPES[kind])
    flat, _ = jax.tree_util.tree_flatten_with_path(
        groups, is_leaf=lambda node: isinstance(node, ParameterGroup)
    )
    theirs = {path: name for name, path in PATHS.items()}
    ours = {
        theirs[jax.tree_util.keystr(path, simple=True, separator="/")]: pytest.approx(list(group))
        for path, group in flat
    }
    assert ours == META[f"adamw/{kind}"]["table"]


def test_frozen_stages_do_not_move() -> None:
    params = {
        "backbone": {
            name: {"conv1": {"conv": {"kernel": jnp.ones(2)}}}
            for name in ("stem", "res2_0", "res3_0")
        }
    }
    config = Config(model=ModelConfig(backbone=ResNetConfig(freeze_at=2)))
    optimizer = make_optimizer(config, params)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    moved = jax.tree.map(lambda update: bool(jnp.any(update != 0)), updates)["backbone"]
    assert not moved["stem"]["conv1"]["conv"]["kernel"]
    assert not moved["res2_0"]["conv1"]["conv"]["kernel"]
    assert moved["res3_0"]["conv1"]["conv"]["kernel"]


def test_a_parameter_that_no_row_covers_is_named() -> None:
    params = {"backbone": {"stem": {"conv1": {"new": jnp.ones(2)}}}, "extra": jnp.ones(2)}
    with pytest.raises(UserError) as error:
        make_optimizer(Config(), params)
    assert "backbone/stem/conv1/new: none" in str(error.value)
    assert "extra: none" in str(error.value)


def test_a_parameter_that_two_rows_cover_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer_module, "HEAD_ROWS", ((r".*/query_embed", "weight"),))
    with pytest.raises(UserError, match=r"transformer_decoder/query_embed: \S+, \S+"):
        make_optimizer(Config(), {"transformer_decoder": {"query_embed": jnp.ones(2)}})


@pytest.mark.parametrize(("norm", "factor"), [(0.005, 1.0), (2.0, 0.01 / (2.0 + 1e-6))])
def test_clipping_scales_the_full_gradient(norm: float, factor: float) -> None:
    clip = clip_by_full_norm(0.01)
    grads = {"a": jnp.array([0.6, 0.0]) * norm, "b": jnp.array([0.8]) * norm}
    clipped, _ = clip.update(grads, clip.init(grads))
    np.testing.assert_allclose(clipped["a"], grads["a"] * factor, rtol=1e-6)
    np.testing.assert_allclose(clipped["b"], grads["b"] * factor, rtol=1e-6)
