"""What files of Swin have in common, however they name the parts of a block."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskformer_jax.convert.rules import LINEAR, Rule, norm, number
from maskformer_jax.windows import relative_position_index


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
