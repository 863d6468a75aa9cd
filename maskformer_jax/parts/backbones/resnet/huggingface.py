"""Hugging Face's ResNet backbone: its names and its `backbone_config`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.parts.backbones.resnet.config import EXPANSION, ResNetConfig
from maskformer_jax.parts.huggingface_values import find_differences, four_integers
from maskformer_jax.tensor_rules.rules import CONV, VECTOR, Rule, number

HUGGINGFACE_TYPES = ("resnet",)
DEPTHS: dict[tuple[str, tuple[int, ...]], Any] = {  # (kind of block, blocks of each stage): depth
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
}
# What our module does; a value that a file lacks is this one in transformers, too.
FIXED = {
    "num_channels": 3,
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
LAYERS = {f"conv{i + 1}": f"layer.{i}" for i in range(3)} | {"shortcut": "shortcut"}


def stage_rules(stage: int) -> tuple[Rule, ...]:
    """Make the rules of one of the stages 0..3, our "res2" .. "res5"."""
    rules: list[Rule] = []
    for ours, theirs in LAYERS.items():
        rules.append(Rule(f"{ours}/conv/kernel", f"{theirs}.convolution.weight", CONV))
        rules.append(Rule(rf"{ours}/norm/(\w+)", rf"{theirs}.normalization.\1", VECTOR))
    return number(
        rules, ours=rf"res{stage + 2}_(\d+)/", theirs=rf"encoder.stages.{stage}.layers.\1."
    )


HUGGINGFACE_RULES = (
    Rule(r"stem/conv1/conv/kernel", r"embedder.embedder.convolution.weight", CONV),
    Rule(r"stem/conv1/norm/(\w+)", r"embedder.embedder.normalization.\1", VECTOR),
    *(rule for stage in range(4) for rule in stage_rules(stage)),
)


def huggingface_constants(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The counter that transformers' batch norms have."""
    return {
        name.removesuffix("running_mean") + "num_batches_tracked": np.zeros((), np.int64)
        for name in tensors
        if name.endswith("normalization.running_mean")
    }


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> ResNetConfig:
    """The config for a `backbone_config`; appends unsupported values to `problems`."""
    problems += find_differences("backbone_config", values, FIXED)
    block = values.get("layer_type", "bottleneck")
    blocks = four_integers(values.get("depths", (3, 4, 6, 3)))
    sizes = four_integers(values.get("hidden_sizes", (256, 512, 1024, 2048)))
    width = int(values.get("embedding_size", 64))
    expected = _hidden_sizes(width, block)
    if (block, blocks) not in DEPTHS:
        known = ", ".join(f"{kind} {list(depths)}" for kind, depths in DEPTHS)
        problems.append(
            f"backbone_config.layer_type and depths are {block} {list(blocks)}, should be one of "
            f"{known}"
        )
    if sizes != expected:
        problems.append(
            f"backbone_config.hidden_sizes is {list(sizes)}, should be {list(expected)}"
        )
    return ResNetConfig(
        depth=DEPTHS.get((block, blocks), 50),
        width=width,
        stride_in_1x1=bool(values.get("downsample_in_bottleneck", False)),
    )


def describe_huggingface(config: ResNetConfig) -> dict[str, Any]:
    """The `backbone_config` of a config."""
    (block, blocks) = next(key for key, depth in DEPTHS.items() if depth == config.depth)
    return {
        "model_type": "resnet",
        **FIXED,
        "embedding_size": config.width,
        "hidden_sizes": list(_hidden_sizes(config.width, block)),
        "depths": list(blocks),
        "layer_type": block,
        "downsample_in_bottleneck": config.stride_in_1x1,
    }


def huggingface_gaps(config: ResNetConfig) -> dict[str, tuple[Any, Any]]:
    """Fields that Hugging Face's ResNet lacks: (our value, the only value it supports)."""
    return {
        "stem": (config.stem, "basic"),
        "norm": (config.norm, "frozen_batch_norm"),
        "res5_dilations": (config.res5_dilations, (1, 1, 1)),
    }


def _hidden_sizes(width: int, block: str) -> tuple[int, ...]:
    return tuple(width * 2**i * (EXPANSION if block == "bottleneck" else 1) for i in range(4))
