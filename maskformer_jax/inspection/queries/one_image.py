"""The queries of one image: their classes and masks after each decoder layer, their attention."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, UInt8

from maskformer_jax.compiler_options import inference_options
from maskformer_jax.data.eval_examples import resize_for_eval
from maskformer_jax.errors import UserError
from maskformer_jax.precision import multiply_in, resolve_precision
from maskformer_jax.pretrained import Loaded

_ATTENTION = "cross_attention"


class ImageQueries(NamedTuple):
    """Q queries after each of L decoder layers, the last layer last.

    Masks and attention cover the image, without its padding.
    """

    class_probabilities: Float[np.ndarray, "l q k_plus_1"]  # no-object last
    mask_probabilities: Float[np.ndarray, "l q h w"]  # at a quarter of the network's input
    attention: Float[np.ndarray, "l q h32 w32"]  # to the coarsest map, mean over heads


class QueryInspector:
    """Runs a model so that its queries can be looked at.

    Args:
        loaded: a MaskFormer; the per-pixel baselines have no queries.

    Raises:
        UserError: the model has no queries.
    """

    def __init__(self, loaded: Loaded) -> None:
        head = loaded.config.model.head
        if head != "mask_classification":
            raise UserError(f"config.model.head is {head!r}, which has no queries to look at")
        self._loaded = loaded
        model = loaded.config.model
        precision = resolve_precision(
            model.matmul_precision, compute_dtype=model.compute_dtype, train=False
        )

        def run(variables: Any, images: Any) -> Any:
            with multiply_in(precision):
                return loaded.model.apply(
                    variables,
                    images,
                    capture_intermediates=_is_attention_input,
                    mutable=["intermediates"],
                )

        options = inference_options(jax.devices()[0])
        self._run = jax.jit(run, compiler_options=options)

    def inspect(self, image: UInt8[np.ndarray, "h w 3"]) -> ImageQueries:
        """Run the network on one image, RGB; each size of the network's input compiles once."""
        resized = resize_for_eval(image, self._loaded.config.eval)
        predictions, captured = self._run(self._loaded.variables, jnp.asarray(resized[None]))
        height, width = resized.shape[:2]
        masks = np.asarray(jax.nn.sigmoid(predictions.mask_logits[:, 0]))
        classes = np.asarray(jax.nn.softmax(predictions.class_logits[:, 0], axis=-1))
        padded = 4 * masks.shape[2], 4 * masks.shape[3]
        attention = _attention(captured["intermediates"]["transformer_decoder"], padded)
        return ImageQueries(
            classes,
            masks[..., : -(-height // 4), : -(-width // 4)],
            attention[..., : -(-height // 32), : -(-width // 32)],
        )


def _is_attention_input(module: nn.Module, method: str) -> bool:
    return method == "__call__" and _ATTENTION in module.path and module.name in ("query", "key")


def _attention(
    captured: Mapping[str, Any], padded: tuple[int, int]
) -> Float[np.ndarray, "l q h w"]:
    """The softmax of queries and keys, which Flax's attention does not hand out."""
    layers = sorted(
        (name for name in captured if name.startswith("layer_")),
        key=lambda name: int(name.rpartition("_")[2]),
    )
    maps = []
    for name in layers:
        parts = captured[name][_ATTENTION]
        query, key = (
            np.asarray(parts[part]["__call__"][0][0], np.float32) for part in ("query", "key")
        )
        scores = np.einsum("qhd,shd->hqs", query, key) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        weights = (scores / scores.sum(-1, keepdims=True)).mean(0)
        maps.append(weights.reshape(len(weights), *_coarse_size(weights.shape[1], padded)))
    return np.stack(maps)


def _coarse_size(tokens: int, padded: tuple[int, int]) -> tuple[int, int]:
    """The size of the coarsest map: the padded input over its stride, which dilations halve."""
    for stride in (32, 16, 8):
        height, width = (-(-side // stride) for side in padded)
        if height * width == tokens:
            return height, width
    raise ValueError(f"{tokens} tokens do not cover an input of {padded}")
