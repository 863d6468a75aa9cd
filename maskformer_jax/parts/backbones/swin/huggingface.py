"""Hugging Face's Swin backbone: its names and its `backbone_config`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.parts.backbones.swin.config import SwinConfig
from maskformer_jax.parts.backbones.swin.names import swin_stages, window_indices
from maskformer_jax.parts.huggingface_values import find_differences, four_integers
from maskformer_jax.tensor_rules.rules import CONV, VECTOR, Rule, affine, norm

HUGGINGFACE_TYPES = ("swin", "maskformer-swin")
FINAL_NORM = "model.layernorm."  # of the classifier; no output depends on it
HUGGINGFACE_SKIPPED = (r".*\.relative_position_index", r"model\.layernorm\.(weight|bias)")
# What our module does; a value that a file lacks is this one in transformers, too. (Of any
# out_features, transformers' MaskFormer uses all four.)
FIXED = {
    "num_channels": 3,
    "patch_size": 4,
    "mlp_ratio": 4.0,
    "qkv_bias": True,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "use_absolute_embeddings": False,
}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
BLOCK_RULES = (
    *norm("norm1", "layernorm_before"),
    *norm("norm2", "layernorm_after"),
    Rule(r"attention/(relative_position_bias_table)", r"attention.self.\1", VECTOR),
    *affine("attention/qkv", "attention.self.query attention.self.key attention.self.value"),
    *affine("attention/proj", "attention.output.dense"),
    *affine("linear1", "intermediate.dense"),
    *affine("linear2", "output.dense"),
)
HUGGINGFACE_RULES = (
    *affine("patch_embed/proj", "model.embeddings.patch_embeddings.projection", CONV),
    *norm("patch_embed/norm", "model.embeddings.norm"),
    *swin_stages(BLOCK_RULES, layers="model.encoder.layers", output_norm="hidden_states_norms."),
)


def huggingface_constants(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tables of indices, and the norm of the classifier that transformers expects."""
    last = tensors["hidden_states_norms.3.weight"]
    return window_indices(tensors) | {
        FINAL_NORM + "weight": np.ones_like(last),
        FINAL_NORM + "bias": np.zeros_like(last),
    }


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> SwinConfig:
    """The config for a `backbone_config`; appends unsupported values to `problems`."""
    problems += find_differences("backbone_config", values, FIXED)
    return SwinConfig(
        embed_dim=int(values.get("embed_dim", 96)),
        depths=four_integers(values.get("depths", (2, 2, 6, 2))),
        num_heads=four_integers(values.get("num_heads", (3, 6, 12, 24))),
        window=int(values.get("window_size", 7)),
        drop_path=float(values.get("drop_path_rate", 0.1)),
    )


def describe_huggingface(config: SwinConfig) -> dict[str, Any]:
    """The `backbone_config` of a config."""
    return {
        "model_type": "swin",
        **FIXED,
        "out_features": STAGES,
        "embed_dim": config.embed_dim,
        "depths": list(config.depths),
        "num_heads": list(config.num_heads),
        "window_size": config.window,
        "drop_path_rate": config.drop_path,
    }


def huggingface_gaps(config: SwinConfig) -> dict[str, tuple[Any, Any]]:
    """Hugging Face's Swin supports everything that ours does."""
    del config
    return {}
