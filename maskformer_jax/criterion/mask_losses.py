"""Focal and dice loss of matched masks, one segment slot after the other.

Enlarged masks are as large as everything else together, so they exist for one slot at a time, in
the forward pass and again in the backward pass, which computes them anew.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.criterion.ground_truth import (
    GroundTruth,
    counted_at_points,
    mask_of_slot,
    masks_at_points,
)
from maskformer_jax.criterion.point_sampling import sample_bilinear, uncertain_points
from maskformer_jax.losses import dice_loss, sigmoid_focal_loss
from maskformer_jax.resize import resize_bilinear


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def compare_masks(
    mask_logits: Float[Array, "l b q h w"],
    assignment: Int[Array, "b l n"],
    truth: GroundTruth,
    key_data: Array | None = None,
    num_points: int = 0,
) -> tuple[Float[Array, " l"], Float[Array, " l"]]:
    """Focal and dice loss of each layer, summed over the matched pairs of the batch.

    The logits are enlarged to the size of the ground truth; the focal loss is the mean over its
    pixels (those that count). Segment slots are visited one after the other, up to the last one
    that any image of the batch uses, forwards and again backwards: unused slots cost nothing.

    Args:
        mask_logits: of all decoder layers.
        assignment: the query of each segment, -1 for none.
        truth: the masks.
        key_data: of a random key, where there are points to draw.
        num_points: points of each mask that are compared in place of all pixels; 0: pixels.
    """

    def add_slot(slot: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        query = _query_of(slot, assignment)
        terms = _slot_losses(
            _take_masks(mask_logits, query), query >= 0, slot, truth, key_data, num_points
        )
        return sums[0] + terms[0], sums[1] + terms[1]

    zeros = jnp.zeros(mask_logits.shape[:2], mask_logits.dtype)
    focal, dice = jax.lax.fori_loop(0, _count_slots(assignment), add_slot, (zeros, zeros))
    return focal.sum(1), dice.sum(1)


def _forward(
    mask_logits: Array,
    assignment: Array,
    truth: GroundTruth,
    key_data: Array | None,
    num_points: int,
) -> tuple:
    arguments = (mask_logits, assignment, truth, key_data)
    return compare_masks(*arguments, num_points), arguments


def _backward(num_points: int, arguments: tuple, cotangents: tuple[Array, Array]) -> tuple:
    mask_logits, assignment, truth, key_data = arguments
    shape = mask_logits.shape[:2]
    per_image = tuple(jnp.broadcast_to(x[:, None], shape) for x in cotangents)

    def add_slot(slot: Array, gradient: Array) -> Array:
        query = _query_of(slot, assignment)
        _, pull_back = jax.vjp(
            lambda logits: _slot_losses(logits, query >= 0, slot, truth, key_data, num_points),
            _take_masks(mask_logits, query),
        )
        (term,) = pull_back(per_image)
        return _add_masks(gradient, query, term)

    gradient = jax.lax.fori_loop(0, _count_slots(assignment), add_slot, jnp.zeros_like(mask_logits))
    return gradient, None, None, None


compare_masks.defvjp(_forward, _backward)


def _slot_losses(
    mask_logits: Float[Array, "l b h w"],
    matched: Array,
    slot: Array,
    truth: GroundTruth,
    key_data: Array | None,
    num_points: int,
) -> tuple[Float[Array, "l b"], Float[Array, "l b"]]:
    if num_points:
        assert key_data is not None
        logits, masks, counted = _compare_at_points(
            mask_logits, slot, truth, jax.random.wrap_key_data(key_data), num_points
        )
    else:
        logits = resize_bilinear(mask_logits, truth.size)
        masks = mask_of_slot(truth, slot)[None]
        counted = None if truth.counted is None else truth.counted[None]
    focal = sigmoid_focal_loss(logits, masks)
    if counted is None:
        focal = focal.mean((-2, -1))
    else:
        pixels = jnp.maximum(counted.sum((-2, -1)), 1).astype(focal.dtype)
        focal = jnp.where(counted, focal, 0).sum((-2, -1)) / pixels
    dice = dice_loss(logits, masks, counted=counted)
    return jnp.where(matched, focal, 0), jnp.where(matched, dice, 0)


def _compare_at_points(
    mask_logits: Float[Array, "l b h w"],
    slot: Array,
    truth: GroundTruth,
    key: Array,
    num_points: int,
) -> tuple[Array, Array, Array | None]:
    """Logits, masks and what counts at the points of each mask, as maps of one row."""
    layers, images, _, _ = mask_logits.shape
    points = uncertain_points(jax.random.fold_in(key, slot), mask_logits, count=num_points)
    by_image = jnp.moveaxis(points, 0, 1).reshape(images, layers * num_points, 2)

    def as_maps(values: Array) -> Array:
        return jnp.moveaxis(values.reshape(images, layers, 1, num_points), 1, 0)

    masks = masks_at_points(truth, by_image, slot[None])
    counted = counted_at_points(truth, by_image)
    return (
        sample_bilinear(mask_logits, points)[..., None, :],
        as_maps(masks),
        None if counted is None else as_maps(counted),
    )


def _count_slots(assignment: Array) -> Array:
    used = (assignment >= 0).any((0, 1))
    return jnp.where(used, jnp.arange(1, used.size + 1), 0).max(initial=0)


def _query_of(slot: Array, assignment: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(assignment, slot, axis=2, keepdims=False).T  # [l, b]


def _take_masks(mask_logits: Array, query: Array) -> Array:
    index = jnp.maximum(query, 0)[:, :, None, None, None]
    return jnp.take_along_axis(mask_logits, index, axis=2)[:, :, 0]  # [l, b, h, w]


def _add_masks(gradient: Array, query: Array, term: Array) -> Array:
    # Mapped over layers and images, so that each device adds to its own images without asking.
    add = jax.vmap(jax.vmap(lambda masks, index, mask: masks.at[index].add(mask)))
    return add(gradient, jnp.maximum(query, 0), term)
