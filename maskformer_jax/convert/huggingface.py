"""The tensors of Hugging Face's MaskFormer, in both directions.

The names are those in the files, which transformers 4 and 5 read and write; inside its modules
transformers 5 calls a few of them otherwise, and those are read too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.convert.official import class_weights
from maskformer_jax.convert.readers import Tensors, read_tensors
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
from maskformer_jax.errors import UserError

ENCODER = "model.pixel_level_module.encoder."
DECODER = "model.pixel_level_module.decoder."
TRANSFORMER = "model.transformer_module."
FINAL_NORM = ENCODER + "model.layernorm."  # of Swin's classifier; no output depends on it
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = tuple(f"{name}.index.json" for name in SINGLE_FILES)  # of several files
RENAMES = (
    (rf"^({TRANSFORMER}decoder\.layers\.\d+\.\w+_attn)\.o_proj\.", r"\1.out_proj."),
    (rf"^({TRANSFORMER}decoder\.layers\.\d+)\.mlp\.fc", r"\1.fc"),
)
# Constants: of the loss, of batch norms in training, and what follows from the sizes.
SKIPPED = (
    r"criterion\.empty_weight",
    r".*\.num_batches_tracked",
    r".*\.relative_position_index",
    FINAL_NORM + r"(weight|bias)",
)

RESNET_LAYERS = {f"conv{i + 1}": f"layer.{i}" for i in range(3)} | {"shortcut": "shortcut"}


def resnet_stage_rules(stage: int) -> tuple[Rule, ...]:
    """Make the rules of one of ResNet's stages 0..3, our "res2" .. "res5"."""
    rules: list[Rule] = []
    for ours, theirs in RESNET_LAYERS.items():
        rules.append(Rule(f"{ours}/conv/kernel", f"{theirs}.convolution.weight", CONV))
        rules.append(Rule(rf"{ours}/norm/(\w+)", rf"{theirs}.normalization.\1", VECTOR))
    return number(
        rules, ours=rf"res{stage + 2}_(\d+)/", theirs=rf"encoder.stages.{stage}.layers.\1."
    )


RESNET_RULES = (
    Rule(r"stem/conv1/conv/kernel", r"embedder.embedder.convolution.weight", CONV),
    Rule(r"stem/conv1/norm/(\w+)", r"embedder.embedder.normalization.\1", VECTOR),
    *(rule for stage in range(4) for rule in resnet_stage_rules(stage)),
)

SWIN_BLOCK_RULES = (
    *norm("norm1", "layernorm_before"),
    *norm("norm2", "layernorm_after"),
    Rule(r"attention/(relative_position_bias_table)", r"attention.self.\1", VECTOR),
    *affine("attention/qkv", "attention.self.query attention.self.key attention.self.value"),
    *affine("attention/proj", "attention.output.dense"),
    *affine("linear1", "intermediate.dense"),
    *affine("linear2", "output.dense"),
)


SWIN_RULES = (
    *affine("patch_embed/proj", "model.embeddings.patch_embeddings.projection", CONV),
    *norm("patch_embed/norm", "model.embeddings.norm"),
    *swin_stages(
        SWIN_BLOCK_RULES, layers="model.encoder.layers", output_norm="hidden_states_norms."
    ),
)


def conv_norm_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Make the rules of a convolution with group norm, which theirs numbers 0 and 1."""
    return (
        Rule(f"{ours}/conv/kernel", f"{theirs}.0.weight", CONV),
        *norm(f"{ours}/norm", f"{theirs}.1"),
    )


# Theirs counts from the deepest map on, ours from the finest.
PIXEL_DECODER_RULES = (
    *conv_norm_rules("layer_4", "fpn.stem"),
    *(
        rule
        for i in (1, 2, 3)
        for rule in (
            *conv_norm_rules(f"adapter_{i}", f"fpn.layers.{3 - i}.proj"),
            *conv_norm_rules(f"layer_{i}", f"fpn.layers.{3 - i}.block"),
        )
    ),
    *affine("mask_features", "mask_projection", CONV),
)


def attention_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Make the rules of one multi-head attention."""
    kernel, bias = packed_heads(0, num_parts=1)
    rules = list(affine("out", "out_proj", HEADS_OUT))
    for role in ("query", "key", "value"):
        rules.append(Rule(f"{role}/kernel", f"{role[0]}_proj.weight", kernel))
        rules.append(Rule(f"{role}/bias", f"{role[0]}_proj.bias", bias))
    return add_prefix(rules, ours=ours, theirs=theirs)


TRANSFORMER_LAYER_RULES = (
    *attention_rules("self_attention/", "self_attn."),
    *attention_rules("cross_attention/", "encoder_attn."),
    *affine(r"ffn/linear(\d)", r"fc\1"),
    *norm("norm1", "self_attn_layer_norm"),
    *norm("norm2", "encoder_attn_layer_norm"),
    *norm("norm3", "final_layer_norm"),
)

TRANSFORMER_RULES = (
    Rule("query_embed", "queries_embedder.weight", VECTOR),
    *affine("input_proj", "input_projection", CONV),
    *norm("norm", "decoder.layernorm"),
    *number(TRANSFORMER_LAYER_RULES, ours=r"layer_(\d+)/", theirs=r"decoder.layers.\1."),
)

RULES = (
    *add_prefix(RESNET_RULES, ours="backbone/", theirs=ENCODER),
    *add_prefix(SWIN_RULES, ours="backbone/", theirs=ENCODER),
    *add_prefix(PIXEL_DECODER_RULES, ours="pixel_decoder/", theirs=DECODER),
    *add_prefix(TRANSFORMER_RULES, ours="transformer_decoder/", theirs=TRANSFORMER),
    *affine("transformer_decoder/class_embed", "class_predictor"),
    *affine(r"transformer_decoder/mask_embed/layer_(\d)", r"mask_embedder.\1.0"),
)


def read_folder(folder: Path) -> Tensors:
    """Read the tensors of a folder, from one file or from the several that an index lists.

    Raises:
        UserError: there is no such file, or one cannot be read.
    """
    for name in SINGLE_FILES:
        if (folder / name).is_file():
            return read_tensors(folder / name)
    for name in INDEX_FILES:
        if (folder / name).is_file():
            return _read_shards(folder, folder / name)
    raise UserError(f"{folder}: should hold {' or '.join((*SINGLE_FILES, *INDEX_FILES))}")


def _read_shards(folder: Path, index: Path) -> Tensors:
    try:
        files = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        inside = all(isinstance(name, str) and Path(name).name == name for name in files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{index}: damaged, should hold a "weight_map" in JSON') from error
    if not inside:
        raise UserError(
            f"{index}: its files should lie beside it, not at {', '.join(map(str, files))}"
        )
    tensors: Tensors = {}
    for name in files:
        tensors |= read_tensors(folder / name)
    return tensors


def to_variables(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    *,
    source: str = "the checkpoint",
) -> dict[str, Any]:
    """Turn the tensors of a Hugging Face model, from `read_folder`, into our variables.

    Otherwise as `official.to_variables`.
    """
    return import_tensors(tensors, template, RULES, renames=RENAMES, skipped=SKIPPED, source=source)


def from_variables(
    variables: Mapping[str, Any], *, no_object_weight: float
) -> dict[str, np.ndarray]:
    """Turn the variables of our model into all tensors that transformers expects.

    Args:
        variables: {"params": ..., "constants": ...} of a model that `describe_model` accepts.
        no_object_weight: of the loss, the last entry of `criterion.empty_weight`.
    """
    tensors = export_tensors(variables, RULES)
    constants = class_weights(tensors["class_predictor.bias"].size, no_object_weight)
    constants |= window_indices(tensors)
    for name in tensors:
        if name.endswith("normalization.running_mean"):
            place = name.removesuffix("running_mean")
            constants[place + "num_batches_tracked"] = np.zeros((), np.int64)
    last = tensors.get(ENCODER + "hidden_states_norms.3.weight")
    if last is not None:
        constants[FINAL_NORM + "weight"] = np.ones_like(last)
        constants[FINAL_NORM + "bias"] = np.zeros_like(last)
    return tensors | constants
