"""Transformer layers under their published names, those of PyTorch and DETR."""

from maskformer_jax.parts.part import DecayRows
from maskformer_jax.tensor_rules.rules import (
    HEADS_OUT,
    Rule,
    add_prefix,
    affine,
    norm,
    packed_heads,
)


def attention_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Make the rules of one multi-head attention, whose q, k, v are packed in the files."""
    rules = list(affine("out", "out_proj", HEADS_OUT))
    for part, role in enumerate(("query", "key", "value")):
        kernel, bias = packed_heads(part)
        rules.append(Rule(f"{role}/kernel", "in_proj_weight", kernel))
        rules.append(Rule(f"{role}/bias", "in_proj_bias", bias))
    return add_prefix(rules, ours=ours, theirs=theirs)


TRANSFORMER_LAYER_RULES = (
    *attention_rules("self_attention/", "self_attn."),
    *attention_rules("cross_attention/", "multihead_attn."),
    *affine(r"ffn/(linear\d)", r"\1"),
    *norm(r"(norm\d)", r"\1"),
)


def stack_decay_rows(prefix: str) -> DecayRows:
    """Make the rows of a stack of layers, of what comes before it and of the norm after it."""
    layer = rf"{prefix}layer_\d+"
    return (
        (rf"{prefix}input_proj/(kernel|bias)", "weight"),
        (rf"{layer}/(self|cross)_attention/(query|key|value|out)/(kernel|bias)", "weight"),
        (rf"{layer}/ffn/linear\d/(kernel|bias)", "weight"),
        (rf"({layer}/norm\d|{prefix}norm)/(scale|bias)", "norm"),
    )
