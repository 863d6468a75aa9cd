"""Costs between bounding boxes, not masks: the paper's ablation of its matching (section 4.3).

Costs and weights are DETR's (arXiv 2005.12872, section 3.1 and appendix A.4): 5 times the L1
distance of (centre, size), relative to the image, minus 2 times the generalised IoU (arXiv
1902.09630). Unlike in DETR, queries predict no boxes: a query's box is that of the pixels where
its mask's probability is above one half.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

L1_WEIGHT = 5.0
GIOU_WEIGHT = 2.0


def compute_box_costs(
    mask_logits: Float[Array | np.ndarray, "l b q h w"],
    masks: Bool[Array, "b n h w"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
) -> Float[Array, "b l q n"]:
    """Weighted box cost between every query and every segment; 0 for unused slots.

    A NaN among the logits of a query makes all costs of the query NaN.
    """
    has_nan = jnp.isnan(mask_logits).any((-2, -1))
    predicted = find_boxes(jnp.asarray(mask_logits) > 0)
    predicted = jnp.where(has_nan[..., None], jnp.nan, predicted)
    predicted, true = predicted[:, :, :, None], find_boxes(masks)[None, :, None]
    l1 = jnp.abs(_centre_and_size(predicted) - _centre_and_size(true)).sum(-1)
    cost = L1_WEIGHT * l1 - GIOU_WEIGHT * generalized_iou(predicted, true)
    used = jnp.asarray(segment_valid)[:, None, None, :]
    return jnp.where(used, jnp.swapaxes(jax.lax.stop_gradient(cost), 0, 1), 0)


def find_boxes(masks: Bool[Array, "*n h w"]) -> Float[Array, "*n 4"]:
    """The box (top, left, bottom, right) of each mask, in 0..1; zeros for an empty mask."""
    sides = []
    for axis in (-1, -2):
        touched = masks.any(axis)
        length = touched.shape[-1]
        end = length - touched[..., ::-1].argmax(-1)
        sides.append((touched.argmax(-1) / length, end / length))
    (top, bottom), (left, right) = sides
    boxes = jnp.stack([top, left, bottom, right], -1)
    return jnp.where(masks.any((-2, -1))[..., None], boxes, 0)


def generalized_iou(one: Float[Array, "*n 4"], other: Float[Array, "*m 4"]) -> Float[Array, "*k"]:
    """Generalised intersection over union of boxes, -1..1.

    Leading axes broadcast; both arguments have the same rank.
    """
    intersection = _area(
        jnp.maximum(one[..., :2], other[..., :2]), jnp.minimum(one[..., 2:], other[..., 2:])
    )
    hull = _area(
        jnp.minimum(one[..., :2], other[..., :2]), jnp.maximum(one[..., 2:], other[..., 2:])
    )
    union = _area(one[..., :2], one[..., 2:]) + _area(other[..., :2], other[..., 2:]) - intersection
    tiny = jnp.finfo(union.dtype).tiny  # both boxes may be empty
    return intersection / jnp.maximum(union, tiny) - (hull - union) / jnp.maximum(hull, tiny)


def _area(low: Array, high: Array) -> Array:
    return jnp.maximum(high - low, 0).prod(-1)


def _centre_and_size(boxes: Array) -> Array:
    low, high = boxes[..., :2], boxes[..., 2:]
    return jnp.concatenate([(low + high) / 2, high - low], -1)
