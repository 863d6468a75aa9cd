"""One-to-one matching of ground-truth segments to queries (paper section 3.2, arXiv 2107.06278).

The costs are matrix products on masks at the size of the mask logits; the assignment is solved
exactly by SciPy on the host, for all images and all decoder layers in one callback per device.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from maskformer_jax.config import LossConfig
from maskformer_jax.losses import dice_from_sums, sigmoid_focal_loss
from maskformer_jax.types import CostMatrices, Predictions


def compute_costs(
    predictions: Predictions,
    small_map: Int[Array | np.ndarray, "b h w"],
    labels: Int[Array | np.ndarray, "b n"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
) -> CostMatrices:
    """Compare every query of every decoder layer with every segment.

    Class cost: minus the probability of the segment's class. Mask cost: focal loss averaged over
    the pixels. Dice cost: dice loss. Void and padding count as outside of every mask. The costs of
    unused slots are zero. At least float32 whatever the predictions are; not differentiated.

    Args:
        predictions: of all decoder layers.
        small_map: the segment map of the padded images, shrunk by `resize_nearest` to the size of
            the mask logits.
        labels: class of each segment.
        segment_valid: which slots hold a segment.
    """
    class_logits, mask_logits = (
        jax.lax.stop_gradient(x.astype(jnp.promote_types(x.dtype, jnp.float32)))
        for x in predictions
    )
    small_map, labels, segment_valid = map(jnp.asarray, (small_map, labels, segment_valid))
    mask_logits = mask_logits.reshape(*mask_logits.shape[:3], -1)
    slots = jnp.arange(labels.shape[1], dtype=small_map.dtype)
    masks = small_map.reshape(len(small_map), 1, -1) == slots[None, :, None]
    masks = masks.astype(mask_logits.dtype)

    def sum_over_masks(values: Array) -> Array:
        return jnp.einsum("lbqp,bnp->lbqn", values, masks, precision=jax.lax.Precision.HIGHEST)

    probabilities = jax.nn.softmax(class_logits, axis=-1)
    classification = -jnp.take_along_axis(probabilities, labels[None, :, None, :], axis=-1)

    inside = sigmoid_focal_loss(mask_logits, jnp.ones((1, 1, 1, 1), bool))
    outside = sigmoid_focal_loss(mask_logits, jnp.zeros((1, 1, 1, 1), bool))
    focal = outside.sum(-1, keepdims=True) + sum_over_masks(inside - outside)

    scores = jax.nn.sigmoid(mask_logits)
    areas = scores.sum(-1, keepdims=True) + masks.sum(-1)[None, :, None, :]
    dice = dice_from_sums(sum_over_masks(scores), areas)

    parts = (classification, focal / masks.shape[-1], dice)
    used = segment_valid[:, None, None, :]
    return CostMatrices(*(jnp.where(used, jnp.swapaxes(x, 0, 1), 0) for x in parts))


def weighted_cost(costs: CostMatrices, *, config: LossConfig) -> Float[Array, "b l q n"]:
    """The weighted sum of the three costs, which the assignment makes smallest.

    Masks weigh what they weigh in the loss; the class cost has a weight of its own.
    """
    return (
        config.class_cost * costs.classification
        + config.mask_weight * costs.mask
        + config.dice_weight * costs.dice
    )


def match(
    cost: Float[Array, "b l q n"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
    *,
    mesh: Mesh | None = None,
) -> Int[Array, "b l n"]:
    """Give each segment the query of the cheapest one-to-one assignment; -1 where it has none.

    A segment stays without a query if its slot is unused, or if the image has more segments than
    there are queries and the others are cheaper. Non-finite costs give some valid assignment; the
    loss then is not finite either, which is the caller's to notice.

    With `mesh`, axis b is split over all its axes and each device solves its own images. (A
    callback in automatically partitioned code would bring all costs to one device.)
    """

    def call_host(cost: Array, segment_valid: Array) -> Array:
        batch, layers, _, slots = cost.shape
        result = jax.ShapeDtypeStruct((batch, layers, slots), jnp.int32)
        return jax.pure_callback(solve_assignments, result, cost, segment_valid)

    if mesh is not None:
        spec = PartitionSpec(mesh.axis_names)
        call_host = jax.shard_map(
            call_host, mesh=mesh, in_specs=(spec, spec), out_specs=spec, check_vma=False
        )
    # On some backends an exception in a callback goes unnoticed, and SciPy raises on NaN.
    return call_host(jnp.nan_to_num(jax.lax.stop_gradient(cost)), jnp.asarray(segment_valid))


def solve_assignments(
    cost: Float[Array | np.ndarray, "b l q n"], segment_valid: Bool[Array | np.ndarray, "b n"]
) -> Int[np.ndarray, "b l n"]:
    """Host side of `match`: NumPy and SciPy only, since JAX in a callback can deadlock.

    Callbacks hand over JAX arrays in spite of running on the host.
    """
    cost, segment_valid = np.asarray(cost), np.asarray(segment_valid)
    batch, layers, _, slots = cost.shape
    assignment = np.full((batch, layers, slots), -1, np.int32)
    for image in range(batch):
        used = np.flatnonzero(segment_valid[image])
        for layer in range(layers):
            queries, segments = linear_sum_assignment(cost[image, layer][:, used])
            assignment[image, layer, used[segments]] = queries
    return assignment
