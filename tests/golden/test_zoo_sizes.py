"""The tensors of every published config: names, shapes and numbers of parameters."""

import json
from pathlib import Path
from typing import Any

import golden_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.config import FPNConfig, ModelConfig, TransformerFPNConfig
from maskformer_jax.convert.official import from_variables
from maskformer_jax.models.build import build_model
from maskformer_jax.parts.backbones.variants import make_variant

SHAPES_FILE = Path(__file__).parent / "checkpoint_shapes.json"
PER_CONFIG = json.loads(SHAPES_FILE.read_text())["per_config"]
PIXEL_DECODERS = {
    "BasePixelDecoder": FPNConfig,
    "TransformerEncoderPixelDecoder": TransformerFPNConfig,
}
SWINS = {
    "Swin-T": "swin_tiny",
    "Swin-S": "swin_small",
    "Swin-B": "swin_base",
    "Swin-L": "swin_large",
}


def make_config(name: str, facts: dict[str, Any]) -> ModelConfig:
    head = "mask_classification"
    if "per_pixel_baseline" in name:
        head = "per_pixel_plus" if "baseline_plus" in name else "per_pixel"
    return ModelConfig(
        head=head,
        backbone=make_variant(SWINS.get(facts["backbone"], facts["backbone"])),
        pixel_decoder=PIXEL_DECODERS[facts["pixel_decoder"]](),
    )


def test_there_are_all_published_configs():
    assert len(PER_CONFIG) == 30


@pytest.mark.parametrize("name", PER_CONFIG)
def test_names_shapes_and_counts(name):
    facts = PER_CONFIG[name]
    config = make_config(name, facts)
    model = build_model(config, num_classes=facts["K"])
    template = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8))
    params = jax.tree.leaves(template["params"])
    assert sum(x.size for x in params) == facts["parameter_count"]
    # Zero-strided: only names and shapes are of interest.
    variables = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), template)
    exported = from_variables(variables, config, no_object_weight=0.1)
    shapes = golden_weights.config_shapes(name, SHAPES_FILE)
    assert {key: x.shape for key, x in exported.items()} == shapes
