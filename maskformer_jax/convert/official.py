"""Published MaskFormer checkpoints, in both of their namings and in both directions.

Current names have a level `sem_seg_head.pixel_decoder.`; the released files are older and lack
it. Batch norms keep their four tensors, so that nothing is lost on the way there and back.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from maskformer_jax.convert.rules import (
    CONV,
    HEADS_OUT,
    LINEAR,
    VECTOR,
    Rule,
    add_prefix,
    export_tensors,
    import_tensors,
    packed_heads,
)

HEAD = "sem_seg_head."
PIXEL_DECODER = "sem_seg_head.pixel_decoder."
PREDICTOR = "sem_seg_head.predictor."
EMPTY_WEIGHT = "criterion.empty_weight"  # a constant of the loss that the files carry along
# num_batches_tracked: left by newer batch norms, frozen ones have no use for it.
SKIPPED = (r"criterion\.empty_weight", r".*\.num_batches_tracked")

RESNET_RULES = (
    Rule(r"stem/conv(\d)/conv/kernel", r"stem.conv\1.weight", CONV),
    Rule(r"stem/conv(\d)/norm/(\w+)", r"stem.conv\1.norm.\2", VECTOR),
    Rule(r"res(\d)_(\d+)/(conv\d|shortcut)/conv/kernel", r"res\1.\2.\3.weight", CONV),
    Rule(r"res(\d)_(\d+)/(conv\d|shortcut)/norm/(\w+)", r"res\1.\2.\3.norm.\4", VECTOR),
)

PIXEL_DECODER_RULES = (
    Rule(r"(adapter_\d|layer_\d)/conv/kernel", r"\1.weight", CONV),
    Rule(r"(adapter_\d|layer_\d)/norm/scale", r"\1.norm.weight", VECTOR),
    Rule(r"(adapter_\d|layer_\d)/norm/bias", r"\1.norm.bias", VECTOR),
    Rule(r"mask_features/kernel", r"mask_features.weight", CONV),
    Rule(r"mask_features/bias", r"mask_features.bias", VECTOR),
)


def attention_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Make the rules of one multi-head attention, whose q, k, v are packed in the files."""
    rules = [
        Rule("out/kernel", "out_proj.weight", HEADS_OUT),
        Rule("out/bias", "out_proj.bias", VECTOR),
    ]
    for part, role in enumerate(("query", "key", "value")):
        kernel, bias = packed_heads(part)
        rules.append(Rule(f"{role}/kernel", "in_proj_weight", kernel))
        rules.append(Rule(f"{role}/bias", "in_proj_bias", bias))
    return add_prefix(rules, ours=ours, theirs=theirs)


TRANSFORMER_LAYER_RULES = (
    *attention_rules("self_attention/", "self_attn."),
    *attention_rules("cross_attention/", "multihead_attn."),
    Rule(r"ffn/(linear\d)/kernel", r"\1.weight", LINEAR),
    Rule(r"ffn/(linear\d)/bias", r"\1.bias", VECTOR),
    Rule(r"(norm\d)/scale", r"\1.weight", VECTOR),
    Rule(r"(norm\d)/bias", r"\1.bias", VECTOR),
)

TRANSFORMER_DECODER_RULES = (
    Rule(r"query_embed", r"query_embed.weight", VECTOR),
    Rule(r"input_proj/kernel", r"input_proj.weight", CONV),
    Rule(r"input_proj/bias", r"input_proj.bias", VECTOR),
    Rule(r"norm/scale", r"transformer.decoder.norm.weight", VECTOR),
    Rule(r"norm/bias", r"transformer.decoder.norm.bias", VECTOR),
    Rule(r"class_embed/kernel", r"class_embed.weight", LINEAR),
    Rule(r"class_embed/bias", r"class_embed.bias", VECTOR),
    Rule(r"mask_embed/layer_(\d)/kernel", r"mask_embed.layers.\1.weight", LINEAR),
    Rule(r"mask_embed/layer_(\d)/bias", r"mask_embed.layers.\1.bias", VECTOR),
    *(
        # The layer's number is group 1, which moves the groups of the layer's own rules by one.
        Rule(
            rf"layer_(\d+)/{rule.ours}",
            r"transformer.decoder.layers.\1." + rule.theirs.replace(r"\1", r"\2"),
            rule.layout,
        )
        for rule in TRANSFORMER_LAYER_RULES
    ),
)

RULES = (
    *add_prefix(RESNET_RULES, ours="backbone/", theirs="backbone."),
    *add_prefix(PIXEL_DECODER_RULES, ours="pixel_decoder/", theirs=PIXEL_DECODER),
    *add_prefix(TRANSFORMER_DECODER_RULES, ours="transformer_decoder/", theirs=PREDICTOR),
)


def to_variables(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    *,
    source: str = "the checkpoint",
) -> dict[str, Any]:
    """Turn the tensors of a published checkpoint into the variables of our model.

    Args:
        tensors: from `readers.read_tensors`, in either naming.
        template: the shapes of the variables, for example
            `jax.eval_shape(model.init, key, images)`.
        source: how error messages call the tensors, say the path of their file.

    Returns:
        Nested dicts of NumPy arrays, {"params": ..., "constants": ...}.

    Raises:
        UserError: tensors are missing, unexpected or mis-shaped; names all of them.
    """
    return import_tensors(
        _to_current_names(tensors), template, RULES, skipped=SKIPPED, source=source
    )


def from_variables(
    variables: Mapping[str, Any],
    *,
    naming: Literal["current", "released"] = "current",
    no_object_weight: float | None = None,
) -> dict[str, np.ndarray]:
    """Turn the variables of our model into the tensors of a published checkpoint.

    Args:
        variables: {"params": ..., "constants": ...}, or one of the two (gradients, say).
        naming: "current" are the names inside the published model; "released" those of the
            released `.pkl` files, which the published loader renames.
        no_object_weight: where given, `criterion.empty_weight` is added with it as the last
            entry; files for the published loader have it.
    """
    tensors = export_tensors(variables, RULES)
    if no_object_weight is not None:
        empty_weight = np.ones_like(tensors[PREDICTOR + "class_embed.bias"])
        empty_weight[-1] = no_object_weight
        tensors[EMPTY_WEIGHT] = empty_weight
    if naming == "released":
        tensors = {name.replace(PIXEL_DECODER, HEAD): x for name, x in tensors.items()}
    return tensors


def _to_current_names(tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    if any(name.startswith(PIXEL_DECODER) for name in tensors):
        return tensors
    return {
        name.replace(HEAD, PIXEL_DECODER, 1)
        if name.startswith(HEAD) and not name.startswith(PREDICTOR)
        else name: tensor
        for name, tensor in tensors.items()
    }
