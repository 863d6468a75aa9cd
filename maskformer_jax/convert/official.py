"""Published MaskFormer checkpoints, in both of their namings and in both directions.

Current names have a level `sem_seg_head.pixel_decoder.`; the released files are older and lack
it. Batch norms keep their four tensors, so that nothing is lost on the way there and back.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from maskformer_jax.config import ModelConfig
from maskformer_jax.parts.backbones.weights import backbone_weights
from maskformer_jax.parts.pixel_decoders.weights import pixel_decoder_weights
from maskformer_jax.parts.transformer_decoders.weights import transformer_decoder_weights
from maskformer_jax.tensor_rules.rules import CONV, Rule, add_prefix, affine
from maskformer_jax.tensor_rules.transfer import (
    Matched,
    Transfer,
    export_tensors,
    import_tensors,
    match_tensors,
)

BACKBONE = "backbone."
HEAD = "sem_seg_head."
PIXEL_DECODER = "sem_seg_head.pixel_decoder."
PREDICTOR = "sem_seg_head.predictor."
EMPTY_WEIGHT = "criterion.empty_weight"  # a constant of the loss that the files carry along
COUNTERS = r".*\.num_batches_tracked"  # left by newer batch norms; frozen ones have no use for it
# From the names of the released files to the current ones.
RELEASED_RENAMES = ((r"^sem_seg_head\.(?!predictor\.)", PIXEL_DECODER),)


def published_rules(model: ModelConfig) -> tuple[Rule, ...]:
    """The table of a model: those of its parts, and the head of the per-pixel baseline."""
    backbone = backbone_weights(type(model.backbone)).PUBLISHED_RULES
    pixel_decoder = pixel_decoder_weights(type(model.pixel_decoder)).PUBLISHED_RULES
    decoder = transformer_decoder_weights(type(model.transformer_decoder)).PUBLISHED_RULES
    return (
        *add_prefix(backbone, ours="backbone/", theirs=BACKBONE),
        *add_prefix(pixel_decoder, ours="pixel_decoder/", theirs=PIXEL_DECODER),
        *add_prefix(decoder, ours="transformer_decoder/", theirs=PREDICTOR),
        *affine("predictor", PREDICTOR.removesuffix("."), CONV),
    )


def to_variables(
    tensors: Mapping[str, np.ndarray],
    template: Mapping[str, Any],
    model: ModelConfig,
    *,
    source: str = "the checkpoint",
) -> dict[str, Any]:
    """Turn the tensors of a published checkpoint into the variables of our model.

    Args:
        tensors: from `readers.read_tensors`, in either naming.
        template: the shapes of the variables, for example
            `jax.eval_shape(model.init, key, images)`.
        model: the config of the model.
        source: how error messages call the tensors, say the path of their file.

    Returns:
        Nested dicts of NumPy arrays, {"params": ..., "constants": ...}.

    Raises:
        UserError: tensors are missing, unexpected or mis-shaped; names all of them.
    """
    return import_tensors(tensors, template, **_transfer(tensors, model)._asdict(), source=source)


def match_variables(
    tensors: Mapping[str, np.ndarray], template: Mapping[str, Any], model: ModelConfig
) -> Matched:
    """As `to_variables`, but returns what fits and what does not."""
    return match_tensors(tensors, template, **_transfer(tensors, model)._asdict())


def _transfer(tensors: Mapping[str, np.ndarray], model: ModelConfig) -> Transfer:
    is_current = any(name.startswith(PIXEL_DECODER) for name in tensors)
    backbone_skipped = backbone_weights(type(model.backbone)).PUBLISHED_SKIPPED
    return Transfer(
        published_rules(model),
        renames=() if is_current else RELEASED_RENAMES,
        skipped=(
            re.escape(EMPTY_WEIGHT),
            COUNTERS,
            *(rf"backbone\.({pattern})" for pattern in backbone_skipped),
        ),
    )


def from_variables(
    variables: Mapping[str, Any],
    model: ModelConfig,
    *,
    naming: Literal["current", "released"] = "current",
    no_object_weight: float | None = None,
) -> dict[str, np.ndarray]:
    """Turn the variables of our model into the tensors of a published checkpoint.

    Args:
        variables: {"params": ..., "constants": ...}, or one of the two (gradients, say).
        model: the config of the model.
        naming: "current" are the names inside the published model; "released" those of the
            released `.pkl` files, which the published loader renames.
        no_object_weight: where given, the constants that files for the published loader have are
            added: `criterion.empty_weight` with it as the last entry (if the model predicts
            classes), and those of the backbone.
    """
    tensors = export_tensors(variables, published_rules(model))
    if no_object_weight is not None:
        tensors |= _make_constants(tensors, model, no_object_weight)
    if naming == "released":
        tensors = {name.replace(PIXEL_DECODER, HEAD): x for name, x in tensors.items()}
    return tensors


def class_weights(num_outputs: int, no_object_weight: float) -> dict[str, np.ndarray]:
    """Make the constant of the loss that files carry: the weights of K classes and no-object."""
    weights = np.ones(num_outputs, np.float32)
    weights[-1] = no_object_weight
    return {EMPTY_WEIGHT: weights}


def select_below(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors whose names start with a prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _make_constants(
    tensors: Mapping[str, np.ndarray], model: ModelConfig, no_object_weight: float
) -> dict[str, np.ndarray]:
    class_bias = tensors.get(PREDICTOR + "class_embed.bias")
    constants = {} if class_bias is None else class_weights(class_bias.size, no_object_weight)
    backbone = backbone_weights(type(model.backbone))
    of_backbone = backbone.published_constants(select_below(BACKBONE, tensors))
    return constants | {BACKBONE + name: tensor for name, tensor in of_backbone.items()}
