"""Rematerialisation and bfloat16: what they change, and that they change nothing else."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.compiler_options import training_options
from maskformer_jax.config import (
    Config,
    MaskFormerDecoderConfig,
    ModelConfig,
    ResNetConfig,
    SwinConfig,
    TransformerFPNConfig,
)
from maskformer_jax.models.build import build_model
from maskformer_jax.training.optimizer import make_optimizer

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
KEY = jax.random.key(1)
SWIN = SwinConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), window=3)


def tiny(backbone: Any = None, **settings: Any) -> Any:
    return build_model(tiny_config(backbone, **settings), num_classes=3)


def tiny_config(backbone: Any = None, **settings: Any) -> ModelConfig:
    return ModelConfig(
        backbone=backbone or ResNetConfig(depth=18, width=8),
        pixel_decoder=TransformerFPNConfig(
            conv_dim=32, mask_dim=16, num_layers=1, num_heads=2, ffn_dim=32
        ),
        transformer_decoder=MaskFormerDecoderConfig(
            num_queries=4, num_layers=2, hidden_dim=32, num_heads=2, ffn_dim=32
        ),
        **settings,
    )


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a program, those of its inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def differentiate(model: Any, variables: Any) -> Any:
    def loss(params: Any) -> Any:
        predictions = model.apply(
            {**variables, "params": params}, IMAGES, train=True, rngs={"dropout": KEY}
        )
        return sum((x**2).mean() for x in predictions)

    return jax.value_and_grad(loss)


@pytest.mark.parametrize("backbone", [None, SWIN], ids=["resnet", "swin"])
def test_every_part_is_rematerialised(backbone: Any) -> None:
    plain, remat = tiny(backbone), tiny(backbone, remat=True)
    variables = jax.eval_shape(plain.init, jax.random.key(0), IMAGES)
    assert jax.eval_shape(remat.init, jax.random.key(0), IMAGES) == variables
    # Stages or blocks of the backbone, levels, encoder layer, decoder layers.
    parts = (4 if backbone is None else sum(SWIN.depths)) + 3 + 1 + 2
    for model, expected in ((plain, 0), (remat, parts)):
        program = jax.make_jaxpr(
            lambda v, model=model: model.apply(v, IMAGES, train=True, rngs={"dropout": KEY})
        )(variables)
        names = Counter(e.primitive.name for e in equations(program.jaxpr))
        assert names["checkpoint"] + names["remat2"] == expected, names


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [None, SWIN], ids=["resnet", "swin"])
def test_rematerialisation_changes_no_number(backbone: Any) -> None:
    plain, remat = tiny(backbone), tiny(backbone, remat=True)
    variables = jax.jit(plain.init)(jax.random.key(0), IMAGES)
    # Without them the two programs may become the same.
    options = training_options(jax.devices()[0], remat=True)
    ours, expected = (
        jax.jit(differentiate(model, variables), compiler_options=options)(variables["params"])
        for model in (remat, plain)
    )
    # The two programs are fused differently: 1.5e-6 of the size of a tensor was seen, as much as
    # moving each parameter by one rounding does. Some biases have no gradient but rounding, 1e-9.
    np.testing.assert_allclose(ours[0], expected[0], rtol=1e-6)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * np.abs(y).max() + 1e-8),
        ours[1],
        expected[1],
    )


@pytest.mark.parametrize("backbone", [None, SWIN], ids=["resnet", "swin"])
def test_bfloat16_is_computed_where_it_is_safe(backbone: Any) -> None:
    images = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    counts = {}
    for dtype in ("float32", "bfloat16"):
        config = Config(model=tiny_config(backbone, compute_dtype=dtype))
        model = build_model(config.model, num_classes=3)
        variables = jax.eval_shape(model.init, jax.random.key(0), images)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        state = jax.eval_shape(
            make_optimizer(config, variables["params"]).init, variables["params"]
        )
        assert jnp.dtype("bfloat16") not in {leaf.dtype for leaf in jax.tree.leaves(state)}
        program = jax.make_jaxpr(lambda v, model=model: model.apply(v, images))(variables)
        assert {x.dtype for x in program.out_avals} == {jnp.dtype("float32")}
        counts[dtype] = Counter(
            (e.primitive.name, str(e.invars[0].aval.dtype))
            for e in equations(program.jaxpr)
            if e.invars
        )
    low = counts["bfloat16"]
    assert all(kind != "bfloat16" for _, kind in counts["float32"])
    # All convolutions; all matrix products but those of the heads (class: 1, mask: 3) and the
    # bias sums of norms; everything that needs range or precision stays in float32.
    assert low["conv_general_dilated", "float32"] == 0
    assert (
        low["conv_general_dilated", "bfloat16"]
        == counts["float32"]["conv_general_dilated", "float32"]
    )
    assert low["dot_general", "float32"] == 4
    assert low["dot_general", "bfloat16"] > 10
    for name in ("exp", "rsqrt", "sqrt", "sin"):
        assert low[name, "bfloat16"] == 0
    assert low["exp", "float32"] > 0
    assert low["rsqrt", "float32"] > 0
