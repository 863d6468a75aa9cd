"""The tensors of Hugging Face's MaskFormer, in both directions.

The names are those in the files, which transformers 4 and 5 read and write; inside its modules
transformers 5 calls a few of them otherwise, and those are read too.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.config import ModelConfig
from maskformer_jax.convert.official import COUNTERS, EMPTY_WEIGHT, class_weights, select_below
from maskformer_jax.convert.readers import Tensors, read_tensors
from maskformer_jax.errors import UserError
from maskformer_jax.parts.backbones.weights import backbone_weights
from maskformer_jax.parts.pixel_decoders.weights import pixel_decoder_weights
from maskformer_jax.parts.transformer_decoders.weights import transformer_decoder_weights
from maskformer_jax.tensor_rules.rules import Rule, add_prefix
from maskformer_jax.tensor_rules.transfer import (
    Matched,
    Transfer,
    export_tensors,
    import_tensors,
    match_tensors,
)

ENCODER = "model.pixel_level_module.encoder."
DECODER = "model.pixel_level_module.decoder."
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX_FILES = tuple(f"{name}.index.json" for name in SINGLE_FILES)  # of several files


def huggingface_rules(model: ModelConfig) -> tuple[Rule, ...]:
    """The table of a model: those of its parts.

    Raises:
        UserError: Hugging Face lacks one of the parts.
    """
    backbone = backbone_weights(type(model.backbone)).HUGGINGFACE_RULES
    pixel_decoder = pixel_decoder_weights(type(model.pixel_decoder)).HUGGINGFACE_RULES
    decoder = transformer_decoder_weights(type(model.transformer_decoder)).HUGGINGFACE_RULES
    for rules, section in ((pixel_decoder, "pixel_decoder"), (decoder, "transformer_decoder")):
        if rules is None:
            kind = getattr(model, section).type
            raise UserError(
                f"config.model.{section}.type is {kind!r}, which Hugging Face's MaskFormer lacks"
            )
    assert pixel_decoder is not None
    assert decoder is not None
    return (
        *add_prefix(backbone, ours="backbone/", theirs=ENCODER),
        *add_prefix(pixel_decoder, ours="pixel_decoder/", theirs=DECODER),
        *add_prefix(decoder, ours="transformer_decoder/", theirs=""),
    )


def has_our_names(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether tensors are those of a Hugging Face MaskFormer, by their names."""
    return any(name.startswith(ENCODER) for name in tensors)


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
    model: ModelConfig,
    *,
    source: str = "the checkpoint",
) -> dict[str, Any]:
    """Turn the tensors of a Hugging Face model, from `read_folder`, into our variables.

    Otherwise as `official.to_variables`.
    """
    return import_tensors(tensors, template, **_transfer(model)._asdict(), source=source)


def match_variables(
    tensors: Mapping[str, np.ndarray], template: Mapping[str, Any], model: ModelConfig
) -> Matched:
    """As `to_variables`, but returns what fits and what does not."""
    return match_tensors(tensors, template, **_transfer(model)._asdict())


def _transfer(model: ModelConfig) -> Transfer:
    backbone = backbone_weights(type(model.backbone))
    decoder = transformer_decoder_weights(type(model.transformer_decoder))
    return Transfer(
        huggingface_rules(model),
        renames=decoder.HUGGINGFACE_RENAMES,
        skipped=(
            re.escape(EMPTY_WEIGHT),
            COUNTERS,
            *(f"{re.escape(ENCODER)}({pattern})" for pattern in backbone.HUGGINGFACE_SKIPPED),
        ),
    )


def from_variables(
    variables: Mapping[str, Any], model: ModelConfig, *, no_object_weight: float
) -> dict[str, np.ndarray]:
    """Turn the variables of our model into all tensors that transformers expects.

    Args:
        variables: {"params": ..., "constants": ...} of a model that `describe_model` accepts.
        model: its config.
        no_object_weight: of the loss, the last entry of `criterion.empty_weight`.
    """
    tensors = export_tensors(variables, huggingface_rules(model))
    constants = class_weights(tensors["class_predictor.bias"].size, no_object_weight)
    backbone = backbone_weights(type(model.backbone))
    of_backbone = backbone.huggingface_constants(select_below(ENCODER, tensors))
    return tensors | constants | {ENCODER + name: x for name, x in of_backbone.items()}
