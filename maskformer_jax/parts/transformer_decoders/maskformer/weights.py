"""Weights of the published decoder: names in other formats, and weight decay."""

from collections.abc import Mapping
from typing import Any

from maskformer_jax.parts.huggingface_values import find_differences
from maskformer_jax.parts.part import DecayRows
from maskformer_jax.parts.transformer_decoders.maskformer.config import MaskFormerDecoderConfig
from maskformer_jax.parts.transformer_names import TRANSFORMER_LAYER_RULES, stack_decay_rows
from maskformer_jax.tensor_rules.rules import (
    CONV,
    HEADS_OUT,
    VECTOR,
    Rule,
    add_prefix,
    affine,
    norm,
    number,
    packed_heads,
)

DECAY_ROWS: DecayRows = (
    (r"query_embed", "embed"),
    *stack_decay_rows(""),
    # Heads of one layer each are numbered (`share_heads` False).
    (r"class_embed(_\d+)?/(kernel|bias)|mask_embed(_\d+)?/layer_\d/(kernel|bias)", "weight"),
)
PUBLISHED_RULES = (
    Rule(r"query_embed", r"query_embed.weight", VECTOR),
    *affine(r"input_proj", r"input_proj", CONV),
    *norm(r"norm", r"transformer.decoder.norm"),
    *affine(r"class_embed", r"class_embed"),
    *affine(r"mask_embed/layer_(\d)", r"mask_embed.layers.\1"),
    *number(
        TRANSFORMER_LAYER_RULES,
        ours=r"layer_(\d+)/",
        theirs=r"transformer.decoder.layers.\1.",
    ),
)

TRANSFORMER = "model.transformer_module."  # theirs; the heads stand beside it
FIXED = {"model_type": "detr", "activation_function": "relu"}


def huggingface_attention_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Make the rules of one multi-head attention."""
    kernel, bias = packed_heads(0, num_parts=1)
    rules = list(affine("out", "out_proj", HEADS_OUT))
    for role in ("query", "key", "value"):
        rules.append(Rule(f"{role}/kernel", f"{role[0]}_proj.weight", kernel))
        rules.append(Rule(f"{role}/bias", f"{role[0]}_proj.bias", bias))
    return add_prefix(rules, ours=ours, theirs=theirs)


HUGGINGFACE_LAYER_RULES = (
    *huggingface_attention_rules("self_attention/", "self_attn."),
    *huggingface_attention_rules("cross_attention/", "encoder_attn."),
    *affine(r"ffn/linear(\d)", r"fc\1"),
    *norm("norm1", "self_attn_layer_norm"),
    *norm("norm2", "encoder_attn_layer_norm"),
    *norm("norm3", "final_layer_norm"),
)
HUGGINGFACE_RULES = (
    *add_prefix(
        (
            Rule("query_embed", "queries_embedder.weight", VECTOR),
            *affine("input_proj", "input_projection", CONV),
            *norm("norm", "decoder.layernorm"),
            *number(HUGGINGFACE_LAYER_RULES, ours=r"layer_(\d+)/", theirs=r"decoder.layers.\1."),
        ),
        ours="",
        theirs=TRANSFORMER,
    ),
    *affine("class_embed", "class_predictor"),
    *affine(r"mask_embed/layer_(\d)", r"mask_embedder.\1.0"),
)
# Inside its modules, transformers 5 has other names than in its files.
HUGGINGFACE_RENAMES = (
    (rf"^({TRANSFORMER}decoder\.layers\.\d+\.\w+_attn)\.o_proj\.", r"\1.out_proj."),
    (rf"^({TRANSFORMER}decoder\.layers\.\d+)\.mlp\.fc", r"\1.fc"),
)


def read_huggingface(values: Mapping[str, Any], problems: list[str]) -> MaskFormerDecoderConfig:
    """The config for a `decoder_config`; appends unsupported values to `problems`."""
    problems += find_differences("decoder_config", values, FIXED)
    return MaskFormerDecoderConfig(
        num_queries=int(values.get("num_queries", 100)),
        num_layers=int(values.get("decoder_layers", 6)),
        hidden_dim=int(values.get("d_model", 256)),
        num_heads=int(values.get("decoder_attention_heads", 8)),
        ffn_dim=int(values.get("decoder_ffn_dim", 2048)),
        dropout=float(values.get("dropout", 0.1)),
    )


def describe_huggingface(config: MaskFormerDecoderConfig) -> dict[str, Any]:
    """The `decoder_config` of a config."""
    return {
        **FIXED,
        "d_model": config.hidden_dim,
        "num_queries": config.num_queries,
        "decoder_layers": config.num_layers,
        "decoder_attention_heads": config.num_heads,
        "decoder_ffn_dim": config.ffn_dim,
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
    }


def huggingface_gaps(
    config: MaskFormerDecoderConfig, *, in_channels: int
) -> dict[str, tuple[Any, Any]]:
    """Fields that Hugging Face's decoder lacks: (our value, the only value it supports)."""
    gaps: dict[str, tuple[Any, Any]] = {
        "pre_norm": (config.pre_norm, False),
        "share_heads": (config.share_heads, True),
        "self_attention": (config.self_attention, True),
    }
    if not config.num_layers:
        gaps["num_layers"] = (0, "1 or more")
    if in_channels == config.hidden_dim:
        gaps["enforce_input_proj"] = (config.enforce_input_proj, False)
    return gaps
