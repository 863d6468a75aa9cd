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
    VECTOR,
    Rule,
    add_prefix,
    affine,
    export_tensors,
    import_tensors,
    norm,
    number,
    packed_heads,
)
from maskformer_jax.convert.swin import swin_stages, window_indices

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

SWIN_BLOCK_RULES = (
    *norm(r"(norm\d)", r"\1"),
    Rule(r"attention/(relative_position_bias_table)", r"attn.\1", VECTOR),
    *affine(r"attention/(qkv|proj)", r"attn.\1"),
    *affine(r"linear(\d)", r"mlp.fc\1"),
)


SWIN_RULES = (
    *affine(r"patch_embed/proj", r"patch_embed.proj", CONV),
    *norm(r"patch_embed/norm", r"patch_embed.norm"),
    *swin_stages(SWIN_BLOCK_RULES, layers="layers", output_norm="norm"),
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

PIXEL_DECODER_RULES = (
    Rule(r"(adapter_\d|layer_\d)/conv/kernel", r"\1.weight", CONV),
    *norm(r"(adapter_\d|layer_\d)/norm", r"\1.norm"),
    *affine(r"mask_features", r"mask_features", CONV),
    *affine(r"encoder/input_proj", r"input_proj", CONV),
    *norm(r"encoder/norm", r"transformer.encoder.norm"),
    *number(
        TRANSFORMER_LAYER_RULES,
        ours=r"encoder/layer_(\d+)/",
        theirs=r"transformer.encoder.layers.\1.",
    ),
)

TRANSFORMER_DECODER_RULES = (
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

RULES = (
    *add_prefix(RESNET_RULES, ours="backbone/", theirs="backbone."),
    *add_prefix(SWIN_RULES, ours="backbone/", theirs="backbone."),
    *add_prefix(PIXEL_DECODER_RULES, ours="pixel_decoder/", theirs=PIXEL_DECODER),
    *add_prefix(TRANSFORMER_DECODER_RULES, ours="transformer_decoder/", theirs=PREDICTOR),
    *affine("predictor", PREDICTOR.removesuffix("."), CONV),
)
# From the names of the released files to the current ones.
RELEASED_RENAMES = ((r"^sem_seg_head\.(?!predictor\.)", PIXEL_DECODER),)


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
    is_current = any(name.startswith(PIXEL_DECODER) for name in tensors)
    return import_tensors(
        tensors,
        template,
        RULES,
        renames=() if is_current else RELEASED_RENAMES,
        skipped=SKIPPED,
        source=source,
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
    class_bias = tensors.get(PREDICTOR + "class_embed.bias")
    classes = {} if class_bias is None else class_weights(class_bias.size, no_object_weight)
    return classes | window_indices(tensors)


def class_weights(num_outputs: int, no_object_weight: float) -> dict[str, np.ndarray]:
    """Make the constant of the loss that files carry: the weights of K classes and no-object."""
    weights = np.ones(num_outputs, np.float32)
    weights[-1] = no_object_weight
    return {EMPTY_WEIGHT: weights}
