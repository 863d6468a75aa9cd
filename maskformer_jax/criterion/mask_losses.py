"""Focal and dice loss of matched masks (paper section 3.2), one segment slot after the other.

Logits enlarged to full size take as much memory as everything else in a step. They therefore exist
for one slot at a time, in the forward pass and, computed again, in the backward pass.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.criterion.layers import map_layers
from maskformer_jax.criterion.masks import Masks
from maskformer_jax.criterion.pixel_valid import valid_at_points
from maskformer_jax.criterion.point_sampling import draw_uncertain_points, sample_bilinear
from maskformer_jax.losses import dice_loss, sigmoid_focal_loss
from maskformer_jax.resize import resize_bilinear


def compute_mask_losses(
    mask_logits: Float[Array, "l b q h w"],
    assignment: Int[Array, "b l n"],
    masks: Masks,
    pixel_valid: Bool[Array, "b H W"] | None = None,
    *,
    num_points: int = 0,
    key: Array | None = None,
    by_layer: bool = False,
) -> tuple[Float[Array, " l"], Float[Array, " l"]]:
    """Focal and dice loss of each decoder layer, summed over the matched pairs of the batch.

    The logits are enlarged to the size of the masks, and the focal loss of a pair is the mean over
    pixels. Slots are visited up to the last one that any image of the batch uses, both forward and
    backward, so unused slots after it cost nothing.

    Args:
        mask_logits: of all decoder layers.
        assignment: the query of each segment, -1 for none.
        masks: of the segments.
        pixel_valid: the pixels to compare; None: all.
        num_points: compare each pair at so many points instead of all pixels; 0: pixels.
        key: draws the points, where there are any.
        by_layer: one decoder layer at a time, which takes less memory.
    """
    key_data = None if key is None else jax.random.key_data(key)

    def sum_pairs(pairs: tuple[Array, Array]) -> tuple[Array, Array]:
        logits, queries = pairs
        by_image = jnp.swapaxes(queries, 0, 1)
        return _sum_over_slots(logits, by_image, masks, pixel_valid, key_data, num_points)

    pairs = (mask_logits, jnp.swapaxes(assignment, 0, 1))
    return map_layers(sum_pairs, pairs, one_by_one=by_layer)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _sum_over_slots(
    mask_logits: Float[Array, "l b q h w"],
    assignment: Int[Array, "b l n"],
    masks: Masks,
    pixel_valid: Bool[Array, "b H W"] | None,
    key_data: Array | None,
    num_points: int,
) -> tuple[Float[Array, " l"], Float[Array, " l"]]:
    def add_slot(slot: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        query = _query_of(slot, assignment)
        focal, dice = _slot_losses(
            _take_masks(mask_logits, query),
            query >= 0,
            slot,
            masks,
            pixel_valid,
            key_data,
            num_points,
        )
        return sums[0] + focal, sums[1] + dice

    zeros = jnp.zeros(mask_logits.shape[:2], mask_logits.dtype)
    focal, dice = jax.lax.fori_loop(0, _count_slots(assignment), add_slot, (zeros, zeros))
    return focal.sum(1), dice.sum(1)


def _forward(
    mask_logits: Array,
    assignment: Array,
    masks: Masks,
    pixel_valid: Array | None,
    key_data: Array | None,
    num_points: int,
) -> tuple:
    arguments = (mask_logits, assignment, masks, pixel_valid, key_data)
    return _sum_over_slots(*arguments, num_points), arguments


def _backward(num_points: int, arguments: tuple, cotangents: tuple[Array, Array]) -> tuple:
    mask_logits, assignment, masks, pixel_valid, key_data = arguments
    shape = mask_logits.shape[:2]
    per_image = tuple(jnp.broadcast_to(x[:, None], shape) for x in cotangents)

    def add_slot(slot: Array, gradient: Array) -> Array:
        query = _query_of(slot, assignment)

        def losses_of(logits: Array) -> tuple[Array, Array]:
            return _slot_losses(logits, query >= 0, slot, masks, pixel_valid, key_data, num_points)

        _, pull_back = jax.vjp(losses_of, _take_masks(mask_logits, query))
        (slot_gradient,) = pull_back(per_image)
        return _add_masks(gradient, query, slot_gradient)

    gradient = jax.lax.fori_loop(0, _count_slots(assignment), add_slot, jnp.zeros_like(mask_logits))
    return gradient, None, None, None, None


_sum_over_slots.defvjp(_forward, _backward)


def _slot_losses(
    mask_logits: Float[Array, "l b h w"],
    matched: Bool[Array, "l b"],
    slot: Array,
    masks: Masks,
    pixel_valid: Bool[Array, "b H W"] | None,
    key_data: Array | None,
    num_points: int,
) -> tuple[Float[Array, "l b"], Float[Array, "l b"]]:
    """The losses of one slot, given the logits of its queries; 0 where it is not matched."""
    if num_points:
        assert key_data is not None
        key = jax.random.wrap_key_data(key_data)
        logits, inside, valid = _at_points(mask_logits, slot, masks, pixel_valid, key, num_points)
    else:
        logits = resize_bilinear(mask_logits, masks.size)
        inside = masks.of_slot(slot)[None]
        valid = None if pixel_valid is None else pixel_valid[None]
    focal = sigmoid_focal_loss(logits, inside)
    if valid is None:
        focal = focal.mean((-2, -1))
    else:
        pixels = jnp.maximum(valid.sum((-2, -1)), 1).astype(focal.dtype)
        focal = jnp.where(valid, focal, 0).sum((-2, -1)) / pixels
    dice = dice_loss(logits, inside, pixel_valid=valid)
    return jnp.where(matched, focal, 0), jnp.where(matched, dice, 0)


def _at_points(
    mask_logits: Float[Array, "l b h w"],
    slot: Array,
    masks: Masks,
    pixel_valid: Bool[Array, "b H W"] | None,
    key: Array,
    num_points: int,
) -> tuple[Array, Array, Array | None]:
    """Logits, masks and validity at the points of each mask, as maps of one row of pixels."""
    layers, images, _, _ = mask_logits.shape
    points = draw_uncertain_points(jax.random.fold_in(key, slot), mask_logits, count=num_points)
    by_image = jnp.moveaxis(points, 0, 1).reshape(images, layers * num_points, 2)

    def as_maps(values: Array) -> Array:
        return jnp.moveaxis(values.reshape(images, layers, 1, num_points), 1, 0)

    inside = masks.at_points(by_image, slot[None])
    valid = valid_at_points(pixel_valid, by_image)
    return (
        sample_bilinear(mask_logits, points)[..., None, :],
        as_maps(inside),
        None if valid is None else as_maps(valid),
    )


def _count_slots(assignment: Array) -> Array:
    """The number of slots up to the last one that is matched anywhere."""
    used = (assignment >= 0).any((0, 1))
    return jnp.where(used, jnp.arange(1, used.size + 1), 0).max(initial=0)


def _query_of(slot: Array, assignment: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(assignment, slot, axis=2, keepdims=False).T  # [l, b]


def _take_masks(mask_logits: Array, query: Array) -> Array:
    index = jnp.maximum(query, 0)[:, :, None, None, None]
    return jnp.take_along_axis(mask_logits, index, axis=2)[:, :, 0]  # [l, b, h, w]


def _add_masks(gradient: Array, query: Array, masks: Array) -> Array:
    # Mapped over layers and images: each device then adds to its own images without communication.
    add = jax.vmap(jax.vmap(lambda sums, index, mask: sums.at[index].add(mask)))
    return add(gradient, jnp.maximum(query, 0), masks)
