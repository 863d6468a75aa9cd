"""Swin under the names of its original code, which detectron2 and the published checkpoints have.

`swin_stages` and `window_indices` are what all files of Swin have in common.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskformer_jax.parts.backbones.swin.windows import relative_position_index
from maskformer_jax.tensor_rules.rules import CONV, LINEAR, VECTOR, Rule, affine, norm, number

# Tables of indices, which follow from the size of the windows.
PUBLISHED_SKIPPED = (r".*\.relative_position_index",)


def swin_stages(block: Sequence[Rule], *, layers: str, output_norm: str) -> tuple[Rule, ...]:
    """Make the rules of Swin's four stages, our "res2" .. "res5" and their layers 0..3.

    Args:
        block: the rules of one block.
        layers: what theirs calls the stages, before their numbers.
        output_norm: what theirs calls the norms of the four outputs, before their numbers.
    """
    rules: list[Rule] = []
    for stage in range(4):
        ours = f"res{stage + 2}"
        # What leads into a stage belongs to the one before in the files.
        merge = f"{layers}.{stage - 1}.downsample"
        rules += [
            *number(block, ours=rf"{ours}_(\d+)/", theirs=rf"{layers}.{stage}.blocks.\1."),
            *norm(f"norm_{ours}", f"{output_norm}{stage}"),
            *norm(f"merge_{ours}/norm", f"{merge}.norm"),
            Rule(f"merge_{ours}/reduction/kernel", f"{merge}.reduction.weight", LINEAR),
        ]
    return tuple(rules)


def window_indices(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Make the constant beside each bias table of Swin: which entry serves which pair."""
    return {
        name.removesuffix("bias_table") + "index": relative_position_index(
            (math.isqrt(tensor.shape[0]) + 1) // 2
        )
        for name, tensor in tensors.items()
        if name.endswith("relative_position_bias_table")
    }


BLOCK_RULES = (
    *norm(r"(norm\d)", r"\1"),
    Rule(r"attention/(relative_position_bias_table)", r"attn.\1", VECTOR),
    *affine(r"attention/(qkv|proj)", r"attn.\1"),
    *affine(r"linear(\d)", r"mlp.fc\1"),
)
PUBLISHED_RULES = (
    *affine(r"patch_embed/proj", r"patch_embed.proj", CONV),
    *norm(r"patch_embed/norm", r"patch_embed.norm"),
    *swin_stages(BLOCK_RULES, layers="layers", output_norm="norm"),
)
