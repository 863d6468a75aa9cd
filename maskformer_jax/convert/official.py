"""Published MaskFormer checkpoints, in both of their namings and in both directions.

Current names have a level `sem_seg_head.pixel_decoder.`; the released files are older and lack
it. Batch norms keep their four tensors, so that nothing is lost on the way there and back.
"""

import math
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
    number,
    packed_heads,
)
from maskformer_jax.windows import relative_position_index

HEAD = "sem_seg_head."
PIXEL_DECODER = "sem_seg_head.pixel_decoder."
PREDICTOR = "sem_seg_head.predictor."
EMPTY_WEIGHT = "criterion.empty_weight"  # a constant of the loss that the files carry along
# num_batches_tracked: left by newer batch norms, frozen ones have no use for it.
# relative_position_index: Swin's table of indices, which follows from the size of the windows.
SKIPPED = (
    r"criterion\.empty_weight",
    r".*\.num_batches_tracked",
    r"backbone\..*\.relative_position_index",
)

RESNET_RULES = (
    Rule(r"stem/conv(\d)/conv/kernel", r"stem.conv\1.weight", CONV),
    Rule(r"stem/conv(\d)/norm/(\w+)", r"stem.conv\1.norm.\2", VECTOR),
    Rule(r"res(\d)_(\d+)/(conv\d|shortcut)/conv/kernel", r"res\1.\2.\3.weight", CONV),
    Rule(r"res(\d)_(\d+)/(conv\d|shortcut)/norm/(\w+)", r"res\1.\2.\3.norm.\4", VECTOR),
)

# One block of Swin, and what follows the blocks of a stage.
SWIN_BLOCK_RULES = (
    Rule(r"(norm\d)/scale", r"\1.weight", VECTOR),
    Rule(r"(norm\d)/bias", r"\1.bias", VECTOR),
    Rule(
        r"attention/(relative_position_bias_table)",
        r"attn.\1",
        VECTOR,
    ),
    Rule(r"attention/(qkv|proj)/kernel", r"attn.\1.weight", LINEAR),
    Rule(r"attention/(qkv|proj)/bias", r"attn.\1.bias", VECTOR),
    Rule(r"linear(\d)/kernel", r"mlp.fc\1.weight", LINEAR),
    Rule(r"linear(\d)/bias", r"mlp.fc\1.bias", VECTOR),
)


def swin_stage_rules(stage: int) -> tuple[Rule, ...]:
    """Make the rules of one of Swin's stages 0..3, our "res2" .. "res5"."""
    ours, theirs = f"res{stage + 2}", rf"layers.{stage}.blocks.\1."
    return (
        *number(SWIN_BLOCK_RULES, ours=rf"{ours}_(\d+)/", theirs=theirs),
        Rule(rf"norm_{ours}/scale", f"norm{stage}.weight", VECTOR),
        Rule(rf"norm_{ours}/bias", f"norm{stage}.bias", VECTOR),
        # What leads into a stage belongs to the one before in the files.
        Rule(rf"merge_{ours}/norm/scale", f"layers.{stage - 1}.downsample.norm.weight", VECTOR),
        Rule(rf"merge_{ours}/norm/bias", f"layers.{stage - 1}.downsample.norm.bias", VECTOR),
        Rule(
            rf"merge_{ours}/reduction/kernel",
            f"layers.{stage - 1}.downsample.reduction.weight",
            LINEAR,
        ),
    )


SWIN_RULES = (
    Rule(r"patch_embed/proj/kernel", r"patch_embed.proj.weight", CONV),
    Rule(r"patch_embed/(proj|norm)/bias", r"patch_embed.\1.bias", VECTOR),
    Rule(r"patch_embed/norm/scale", r"patch_embed.norm.weight", VECTOR),
    *(rule for stage in range(4) for rule in swin_stage_rules(stage)),
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

PIXEL_DECODER_RULES = (
    Rule(r"(adapter_\d|layer_\d)/conv/kernel", r"\1.weight", CONV),
    Rule(r"(adapter_\d|layer_\d)/norm/scale", r"\1.norm.weight", VECTOR),
    Rule(r"(adapter_\d|layer_\d)/norm/bias", r"\1.norm.bias", VECTOR),
    Rule(r"mask_features/kernel", r"mask_features.weight", CONV),
    Rule(r"mask_features/bias", r"mask_features.bias", VECTOR),
    Rule(r"encoder/input_proj/kernel", r"input_proj.weight", CONV),
    Rule(r"encoder/input_proj/bias", r"input_proj.bias", VECTOR),
    Rule(r"encoder/norm/scale", r"transformer.encoder.norm.weight", VECTOR),
    Rule(r"encoder/norm/bias", r"transformer.encoder.norm.bias", VECTOR),
    *number(
        TRANSFORMER_LAYER_RULES,
        ours=r"encoder/layer_(\d+)/",
        theirs=r"transformer.encoder.layers.\1.",
    ),
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
    *number(
        TRANSFORMER_LAYER_RULES,
        ours=r"layer_(\d+)/",
        theirs=r"transformer.decoder.layers.\1.",
    ),
)

PER_PIXEL_RULES = (
    Rule(r"kernel", r"weight", CONV),
    Rule(r"bias", r"bias", VECTOR),
)

RULES = (
    *add_prefix(RESNET_RULES, ours="backbone/", theirs="backbone."),
    *add_prefix(SWIN_RULES, ours="backbone/", theirs="backbone."),
    *add_prefix(PIXEL_DECODER_RULES, ours="pixel_decoder/", theirs=PIXEL_DECODER),
    *add_prefix(TRANSFORMER_DECODER_RULES, ours="transformer_decoder/", theirs=PREDICTOR),
    *add_prefix(PER_PIXEL_RULES, ours="predictor/", theirs=PREDICTOR),
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
        no_object_weight: where given, the constants that files for the published loader have are
            added: `criterion.empty_weight` with it as the last entry (if the model predicts
            classes), and Swin's `relative_position_index`.
    """
    tensors = export_tensors(variables, RULES)
    if no_object_weight is not None:
        tensors |= _make_constants(tensors, no_object_weight)
    if naming == "released":
        tensors = {name.replace(PIXEL_DECODER, HEAD): x for name, x in tensors.items()}
    return tensors


def _make_constants(
    tensors: Mapping[str, np.ndarray], no_object_weight: float
) -> dict[str, np.ndarray]:
    constants = {}
    class_bias = tensors.get(PREDICTOR + "class_embed.bias")
    if class_bias is not None:
        constants[EMPTY_WEIGHT] = np.ones_like(class_bias)
        constants[EMPTY_WEIGHT][-1] = no_object_weight
    for name, tensor in tensors.items():
        if name.endswith("relative_position_bias_table"):
            window = (math.isqrt(tensor.shape[0]) + 1) // 2
            index_name = name.removesuffix("bias_table") + "index"
            constants[index_name] = relative_position_index(window)
    return constants


def _to_current_names(tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    if any(name.startswith(PIXEL_DECODER) for name in tensors):
        return tensors
    return {
        name.replace(HEAD, PIXEL_DECODER, 1)
        if name.startswith(HEAD) and not name.startswith(PREDICTOR)
        else name: tensor
        for name, tensor in tensors.items()
    }
