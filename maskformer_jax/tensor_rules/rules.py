"""Rules that pair our variables with the tensors of another naming, used in both directions.

A rule is a pattern for the path of one of our variables (without its collection, for example
"backbone/res2_0/conv1/conv/kernel"), the name that the tensor has elsewhere, and how its layout
differs. `transfer` applies a table of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one variable in a foreign tensor.

    `part` of `num_parts` says which equal share of the first axis belongs to the variable.
    """

    to_ours: Callable[[np.ndarray, Shape], np.ndarray]  # (share, shape of the variable)
    to_theirs: Callable[[np.ndarray], np.ndarray]
    part: int = 0
    num_parts: int = 1

    def share(self, tensor: np.ndarray) -> np.ndarray:
        """Cut out the part that belongs to the variable."""
        size = tensor.shape[0] // self.num_parts
        return tensor[self.part * size : (self.part + 1) * size]

    def foreign_shape(self, shape: Shape) -> Shape:
        """Find the shape of the whole foreign tensor from that of the variable."""
        share = self.to_theirs(np.broadcast_to(np.float32(0), shape)).shape
        return (share[0] * self.num_parts, *share[1:])


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a table: `theirs` may refer to the groups of the pattern `ours`.

    Several names, with spaces between, are tensors that lie stacked in the one of the layout.
    """

    ours: str
    theirs: str
    layout: Layout


VECTOR = Layout(lambda x, shape: x.reshape(shape), lambda x: x)
CONV = Layout(lambda x, _: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))
LINEAR = Layout(lambda x, _: x.T, lambda x: x.T)
# Attention: theirs [out, in] matrices, ours with the heads as an axis of its own.
HEADS_OUT = Layout(lambda x, shape: x.T.reshape(shape), lambda x: x.reshape(-1, x.shape[-1]).T)


def packed_heads(part: int, *, num_parts: int = 3) -> tuple[Layout, Layout]:
    """Make the layouts of kernel [in, heads, head_dim] and bias in a packed q, k, v projection.

    With `num_parts` = 1 it is a projection of its own.
    """
    kernel = Layout(
        lambda x, shape: x.T.reshape(shape),
        lambda x: x.reshape(x.shape[0], -1).T,
        part=part,
        num_parts=num_parts,
    )
    bias = Layout(
        lambda x, shape: x.reshape(shape), lambda x: x.ravel(), part=part, num_parts=num_parts
    )
    return kernel, bias


def affine(ours: str, theirs: str, layout: Layout = LINEAR) -> tuple[Rule, Rule]:
    """Make the rules of kernel and bias of a layer."""
    kernels, biases = (
        " ".join(f"{name}.{kind}" for name in theirs.split()) for kind in ("weight", "bias")
    )
    return Rule(f"{ours}/kernel", kernels, layout), Rule(f"{ours}/bias", biases, VECTOR)


def norm(ours: str, theirs: str) -> tuple[Rule, Rule]:
    """Make the rules of scale and bias of a layer or group norm."""
    return (
        Rule(f"{ours}/scale", f"{theirs}.weight", VECTOR),
        Rule(f"{ours}/bias", f"{theirs}.bias", VECTOR),
    )


def add_prefix(rules: Sequence[Rule], *, ours: str, theirs: str) -> tuple[Rule, ...]:
    """Move a table down, for example below "backbone/" here and "backbone." there."""
    return tuple(
        Rule(ours + rule.ours, _add_to_each(theirs, rule.theirs), rule.layout) for rule in rules
    )


def number(rules: Sequence[Rule], *, ours: str, theirs: str) -> tuple[Rule, ...]:
    """Move a table down below each of many layers.

    The number of the layer is group 1 of `ours`, which moves the groups of the rules by one; they
    have at most one themselves.
    """
    return tuple(
        Rule(
            ours + rule.ours,
            _add_to_each(theirs, rule.theirs.replace(r"\1", r"\2")),
            rule.layout,
        )
        for rule in rules
    )


def _add_to_each(prefix: str, names: str) -> str:
    return " ".join(prefix + name for name in names.split())
