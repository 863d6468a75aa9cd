"""Focal and dice loss of matched masks (paper section 3.2), one segment slot after the other.

Logits enlarged to full size take as much memory as everything else in a step. They therefore exist
for one slot at a time. The same turn of the loop gives the losses of a slot and, where a gradient
is wanted, the gradient of its maps at their own size: nothing is enlarged twice, and the gradient
of all queries is assembled once, after the loop.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int

from maskformer_jax.criterion.layers import map_layers
from maskformer_jax.criterion.map_pieces import (
    Pieces,
    cut_rows,
    take_of_each,
    take_rows,
    with_pieces,
)
from maskformer_jax.criterion.masks import Masks
from maskformer_jax.criterion.pixel_valid import valid_at_points
from maskformer_jax.criterion.point_sampling import draw_uncertain_points, sample_bilinear
from maskformer_jax.losses import focal_and_dice_loss
from maskformer_jax.resize import resize_bilinear
from maskformer_jax.types import Size
from maskformer_jax.unwritten import unwritten


class MaskLosses(NamedTuple):
    """Weighted losses of each decoder layer, summed over the matched pairs of the batch."""

    total: Float[Array, " l"]  # focal + dice; the gradient flows through this sum alone
    focal: Float[Array, " l"]
    dice: Float[Array, " l"]


class MaskWeights(NamedTuple):
    """What the losses of each pair are multiplied by; no gradient flows to them."""

    focal: Float[Array, ""]
    dice: Float[Array, ""]


def compute_mask_losses(
    mask_logits: Float[Array, "l b q h w"],
    assignment: Int[Array, "b l n"],
    masks: Masks,
    pixel_valid: Bool[Array, "b H W"] | None = None,
    *,
    focal_weight: Float[Array, ""] | float = 1.0,
    dice_weight: Float[Array, ""] | float = 1.0,
    num_points: int = 0,
    key: Array | None = None,
    by_layer: bool = False,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
) -> MaskLosses:
    """Focal and dice loss of each decoder layer, summed over the matched pairs of the batch.

    The logits are enlarged to the size of the masks, and the focal loss of a pair is the mean over
    pixels. Slots are visited up to the last one that any image of the batch uses, so unused slots
    after it cost nothing.

    Args:
        mask_logits: of all decoder layers.
        assignment: the query of each segment, -1 for none.
        masks: of the segments.
        pixel_valid: the pixels to compare; None: all.
        focal_weight: of the focal loss of each pair.
        dice_weight: of the dice loss of each pair.
        num_points: compare each pair at so many points instead of all pixels; 0: pixels.
        key: draws the points, where there are any.
        by_layer: one decoder layer at a time, which takes less memory.
        precision: in which logits are enlarged, and their gradient is brought back.

    Returns:
        The total and its two parts. Only the total has a gradient: it is computed together with the
        losses, for these weights.
    """
    key_data = None if key is None else jax.random.key_data(key)
    dtype = mask_logits.dtype
    weights = MaskWeights(jnp.asarray(focal_weight, dtype), jnp.asarray(dice_weight, dtype))
    *_, height, width = mask_logits.shape

    def sum_pairs(pairs: tuple[Array, Array]) -> MaskLosses:
        logits, queries = pairs
        truth = _Truth(jnp.swapaxes(queries, 0, 1), masks, pixel_valid, key_data)
        settings = _Settings((height, width), num_points, precision)
        total, focal, dice = _sum_over_slots(_as_rows(logits), truth, weights, settings)
        return MaskLosses(total, *jax.lax.stop_gradient((focal, dice)))

    pairs = (mask_logits, jnp.swapaxes(assignment, 0, 1))
    return map_layers(sum_pairs, pairs, one_by_one=by_layer)


class _Truth(NamedTuple):
    """What the predictions are compared with."""

    assignment: Array  # int [b, l, n], the query of each slot, -1 for none
    masks: Masks
    pixel_valid: Array | None  # bool [b, H, W]
    key_data: Array | None


class _Settings(NamedTuple):
    """What is known when the program is compiled."""

    map_size: Size
    num_points: int
    precision: jax.lax.Precision


def _as_rows(mask_logits: Float[Array, "l b q h w"]) -> Float[Array, "b lq p"]:
    """Each map as one row, all layers of an image below each other.

    So they are computed (a product sums over channels for each query and pixel) and so the costs
    read them: on a TPU, maps of rows and columns have another layout in memory, which is a copy.
    """
    layers, images, queries, _, _ = mask_logits.shape
    rows = mask_logits.reshape(layers, images, queries, -1)
    return jnp.swapaxes(rows, 0, 1).reshape(images, layers * queries, -1)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _sum_over_slots(
    rows: Float[Array, "b lq p"], truth: _Truth, weights: MaskWeights, settings: _Settings
) -> tuple[Array, Array, Array]:
    """The sum of both losses, the focal loss and the dice loss, [l] each."""

    def sum_slots(pieces: Pieces) -> Array:
        def add_slot(slot: Array, sums: Array) -> Array:
            maps, query = _take_maps(pieces, slot, truth)
            _, losses = _slot_losses(maps, query, slot, truth, weights, settings)
            return sums + losses

        start = _zeros(truth, rows.dtype)
        return jax.lax.fori_loop(0, _count_slots(truth.assignment), add_slot, start)

    return _by_layer(with_pieces(sum_slots, rows))


def _forward(
    rows: Array, truth: _Truth, weights: MaskWeights, settings: _Settings
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
    """The losses, and for the backward pass the gradient of each query's maps."""
    images, num_rows, pixels = rows.shape
    _, layers, slots = truth.assignment.shape
    losses_of = jax.value_and_grad(_slot_losses, has_aux=True)
    slot_of = _slot_of_query(truth.assignment, num_rows // layers)

    def sum_slots(pieces: Pieces) -> tuple[Array, Array]:
        def add_slot(slot: Array, carry: tuple[Array, Pieces]) -> tuple[Array, Pieces]:
            sums, gradients = carry
            maps, query = _take_maps(pieces, slot, truth)
            (_, losses), gradient = losses_of(maps, query, slot, truth, weights, settings)
            block = gradient.reshape(1, images * layers, pixels)
            written = tuple(
                jax.lax.dynamic_update_slice_in_dim(whole, part, slot, axis=0)
                for whole, part in zip(gradients, cut_rows(block, length), strict=True)
            )
            return sums + losses, written

        # Slots come first, so that each turn writes one block of memory. The others need no values:
        # no query is matched to them.
        length = pieces[0].shape[-1]
        gradients = tuple(
            unwritten((slots, images * layers, piece.shape[-1]), rows.dtype) for piece in pieces
        )
        start = (_zeros(truth, rows.dtype), gradients)
        sums, gradients = jax.lax.fori_loop(0, _count_slots(truth.assignment), add_slot, start)
        index = jnp.maximum(slot_of, 0).reshape(images * layers, -1)
        return sums, take_of_each(gradients, index).reshape(rows.shape)

    sums, by_query = with_pieces(sum_slots, rows)
    return _by_layer(sums), (by_query, slot_of)


def _backward(
    settings: _Settings, residuals: tuple[Array, Array], cotangents: tuple[Array, Array, Array]
) -> tuple[Array, None, None]:
    gradients, slot_of = residuals
    total, _, _ = cotangents
    by_query = gradients.reshape(*slot_of.shape, -1) * total.reshape(1, -1, 1, 1)
    # Those of queries without a segment may be anything.
    by_query = jnp.where((slot_of >= 0)[..., None], by_query, 0)
    return by_query.reshape(gradients.shape), None, None


_sum_over_slots.defvjp(_forward, _backward)


def _zeros(truth: _Truth, dtype: DTypeLike) -> Float[Array, "2 b l"]:
    # Of each image: summed over images in the loop, devices would wait for each other in each turn.
    return jnp.zeros((2, *truth.assignment.shape[:2]), dtype)


def _by_layer(sums: Float[Array, "2 b l"]) -> tuple[Array, Array, Array]:
    focal, dice = sums.sum(1)
    return focal + dice, focal, dice


def _slot_losses(
    maps: Float[Array, "b l p"],
    query: Int[Array, "b l"],
    slot: Int[Array, ""],
    truth: _Truth,
    weights: MaskWeights,
    settings: _Settings,
) -> tuple[Float[Array, ""], Float[Array, "2 b l"]]:
    """The weighted losses of one slot, given the logits of its queries: the sum, then each."""
    maps = maps.reshape(*maps.shape[:2], *settings.map_size)
    if settings.num_points:
        logits, inside, valid = _at_points(maps, slot, truth, settings.num_points)
    else:
        logits = resize_bilinear(maps, truth.masks.size, precision=settings.precision)
        inside = truth.masks.of_slot(slot)[:, None]
        valid = None if truth.pixel_valid is None else truth.pixel_valid[:, None]
    pair_losses = focal_and_dice_loss(logits, inside, pixel_valid=valid)
    losses = jnp.stack(
        [
            weight * jnp.where(query >= 0, loss, 0)
            for weight, loss in zip(weights, pair_losses, strict=True)
        ]
    )
    return losses.sum(), losses


def _at_points(
    maps: Float[Array, "b l h w"], slot: Int[Array, ""], truth: _Truth, num_points: int
) -> tuple[Array, Array, Array | None]:
    """Logits, masks and validity at the points of each mask, as maps of one row of pixels."""
    assert truth.key_data is not None
    key = jax.random.fold_in(jax.random.wrap_key_data(truth.key_data), slot)
    images, layers, _, _ = maps.shape
    points = draw_uncertain_points(key, maps, count=num_points)
    by_image = points.reshape(images, layers * num_points, 2)

    def as_maps(values: Array) -> Array:
        return values.reshape(images, layers, 1, num_points)

    inside = truth.masks.at_points(by_image, slot[None])
    valid = valid_at_points(truth.pixel_valid, by_image)
    return (
        sample_bilinear(maps, points)[..., None, :],
        as_maps(inside),
        None if valid is None else as_maps(valid),
    )


def _count_slots(assignment: Int[Array, "b l n"]) -> Array:
    """The number of slots up to the last one that is matched anywhere."""
    used = (assignment >= 0).any((0, 1))
    return jnp.where(used, jnp.arange(1, used.size + 1), 0).max(initial=0)


def _slot_of_query(assignment: Int[Array, "b l n"], num_queries: int) -> Int[Array, "b l q"]:
    """The slot that each query is matched to, -1 for none."""
    same = assignment[..., None] == jnp.arange(num_queries).reshape(1, 1, 1, -1)
    return jnp.where(same.any(2), same.argmax(2), -1)


def _take_maps(
    pieces: Pieces, slot: Int[Array, ""], truth: _Truth
) -> tuple[Float[Array, "b l p"], Int[Array, "b l"]]:
    """The maps that a slot is matched to, and their queries."""
    query = jax.lax.dynamic_index_in_dim(truth.assignment, slot, axis=2, keepdims=False)
    layers = query.shape[1]
    queries = pieces[0].shape[1] // layers
    row = jnp.maximum(query, 0) + queries * jnp.arange(layers)[None]
    return take_rows(pieces, row), query
