"""Matching costs between queries and segments (paper section 3.2, arXiv 2107.06278).

Costs are at least float32, whatever the dtype of the predictions, and carry no gradient.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import LossConfig
from maskformer_jax.losses import FOCAL_ALPHA, dice_from_sums, focal_of_side, sigmoid_terms
from maskformer_jax.precision import at_least_float32
from maskformer_jax.types import CostMatrices, Predictions


def compute_costs(
    predictions: Predictions,
    masks: Bool[Array | np.ndarray, "b n h w"],
    labels: Int[Array | np.ndarray, "b n"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
    *,
    pixel_valid: Bool[Array, "b h w"] | None = None,
) -> CostMatrices:
    """Costs between every query of every decoder layer and every segment.

    Class cost: minus the probability of the segment's class. Mask cost: focal loss, averaged over
    pixels. Dice cost: dice loss. The costs of unused slots are zero.

    Args:
        predictions: of all decoder layers; `mask_logits` [L,B,Q,h,w].
        masks: of the segments, at the size of the mask logits.
        labels: class of each segment, 0..K-1.
        segment_valid: which slots hold a segment.
        pixel_valid: the pixels to compare; all masks must lie within. None: all pixels.
    """
    classification = class_costs(predictions.class_logits, labels, segment_valid)
    mask_logits = _detach(predictions.mask_logits)
    mask_logits = mask_logits.reshape(*mask_logits.shape[:3], -1)
    masks = jnp.asarray(masks).reshape(*masks.shape[:2], -1).astype(mask_logits.dtype)

    def sum_over_masks(values: Array) -> Array:
        return jnp.einsum("lbqp,bnp->lbqn", values, masks, precision=jax.lax.Precision.HIGHEST)

    # Focal loss of a pixel inside and outside of the mask: a sum over pixels then needs one product
    # with the masks, not a map for every pair of query and segment.
    terms = sigmoid_terms(mask_logits)
    outside = focal_of_side(terms.inside, terms.nll_outside, weight=1 - FOCAL_ALPHA)
    inside = focal_of_side(terms.outside, terms.nll_inside, weight=FOCAL_ALPHA)
    scores = terms.inside
    pixels: Array | int = masks.shape[-1]
    difference = inside - outside
    if pixel_valid is not None:
        valid = pixel_valid.reshape(1, len(pixel_valid), 1, -1)
        outside, scores = jnp.where(valid, outside, 0), jnp.where(valid, scores, 0)
        pixels = jnp.maximum(valid.sum(-1, keepdims=True), 1).astype(outside.dtype)
    focal = outside.sum(-1, keepdims=True) + sum_over_masks(difference)
    areas = scores.sum(-1, keepdims=True) + masks.sum(-1)[None, :, None, :]
    dice = dice_from_sums(sum_over_masks(scores), areas)
    used = jnp.asarray(segment_valid)[:, None, None, :]
    focal, dice = (jnp.where(used, jnp.swapaxes(x, 0, 1), 0) for x in (focal / pixels, dice))
    return CostMatrices(classification, focal, dice)


def class_costs(
    class_logits: Float[Array | np.ndarray, "l b q classes"],
    labels: Int[Array | np.ndarray, "b n"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
) -> Float[Array, "b l q n"]:
    """Minus the predicted probability of each segment's class; zero for unused slots."""
    probabilities = jax.nn.softmax(_detach(class_logits), axis=-1)
    index = jnp.asarray(labels)[None, :, None, :]
    cost = -jnp.take_along_axis(probabilities, index, axis=-1)
    return jnp.where(jnp.asarray(segment_valid)[:, None, None, :], jnp.swapaxes(cost, 0, 1), 0)


def weighted_cost(costs: CostMatrices, *, config: LossConfig) -> Float[Array, "b l q n"]:
    """The weighted sum of the three costs, which the assignment minimises.

    Mask and dice cost have the weights of their losses; the class cost has its own.
    """
    return (
        config.class_cost * costs.classification
        + config.mask_weight * costs.mask
        + config.dice_weight * costs.dice
    )


def _detach(x: Array | np.ndarray) -> Array:
    """`x` without gradient, in at least float32."""
    return jax.lax.stop_gradient(at_least_float32(jnp.asarray(x)))
