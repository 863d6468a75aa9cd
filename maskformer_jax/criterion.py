"""From predictions and ground truth to the training loss (paper section 3.2, arXiv 2107.06278).

Every decoder layer is matched and compared on its own; the total is the sum over layers.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int, Shaped

from maskformer_jax.config import LossConfig
from maskformer_jax.losses import (
    dice_loss,
    pixel_cross_entropy,
    sigmoid_focal_loss,
    weighted_cross_entropy,
)
from maskformer_jax.matching import compute_costs, match, weighted_cost
from maskformer_jax.resize import pad_bottom_right, padded_size, resize_bilinear, resize_nearest
from maskformer_jax.types import Batch, Losses, Predictions


def compute_losses(
    predictions: Predictions,
    batch: Batch,
    config: LossConfig,
    *,
    num_classes: int,
    size_divisibility: int,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The training loss of a global batch and its terms.

    Args:
        predictions: of all decoder layers; `mask_logits` cover the padded image.
        batch: ground truth at the size of the images before padding.
        config: weights of losses and costs.
        num_classes: K; label K stands for no-object.
        size_divisibility: what the model pads images to a multiple of. The padding counts as
            outside of every mask, and so does void.
        mesh: over all of whose axes the batch is split, where it is.

    Returns:
        The total, and the weighted terms it is the sum of: `loss_class`, `loss_mask` and
        `loss_dice` of the last layer, and the same with `_0`, `_1`, ... for the earlier ones; for
        the per-pixel baselines, which predict no classes, `loss_sem_seg` alone.
    """
    predictions = jax.tree.map(
        lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), predictions
    )
    labels, segment_valid = jnp.asarray(batch.labels), jnp.asarray(batch.segment_valid)
    size = padded_size(batch.segment_map.shape[1:], size_divisibility)
    segment_map = pad_bottom_right(batch.segment_map, size, axes=(1, 2), value=-1)
    if predictions.class_logits is None:
        values = compare_pixels(predictions.mask_logits, make_label_map(segment_map, labels))
        return values.sum(), name_terms({"loss_sem_seg": values})

    assignment = assign_queries(predictions, segment_map, labels, segment_valid, config, mesh=mesh)
    loss_class = compare_classes(
        predictions.class_logits,
        assignment,
        labels,
        num_classes=num_classes,
        no_object_weight=config.no_object_weight,
    )
    focal, dice = compare_masks(predictions.mask_logits, assignment, segment_map)
    num_masks = jnp.maximum(segment_valid.sum(), 1).astype(focal.dtype)
    losses = Losses(
        loss_class=config.class_weight * loss_class,
        loss_mask=config.mask_weight * focal / num_masks,
        loss_dice=config.dice_weight * dice / num_masks,
    )
    return sum(x.sum() for x in losses), name_terms(losses._asdict())


def assign_queries(
    predictions: Predictions,
    segment_map: Int[Array, "b H W"],
    labels: Int[Array, "b n"],
    segment_valid: Bool[Array, "b n"],
    config: LossConfig,
    *,
    mesh: Mesh | None = None,
) -> Int[Array, "b l n"]:
    """The query of each segment, -1 for none. The segment map has the padded size."""
    _, _, _, height, width = predictions.mask_logits.shape
    small_map = resize_nearest(segment_map, (height, width))
    costs = compute_costs(predictions, small_map, labels, segment_valid)
    cost = weighted_cost(costs, config=config)
    return match(cost, segment_valid, mesh=mesh)


def compare_classes(
    class_logits: Float[Array, "l b q classes"],
    assignment: Int[Array, "b l n"],
    labels: Int[Array, "b n"],
    *,
    num_classes: int,
    no_object_weight: float,
) -> Float[Array, " l"]:
    """Weighted cross-entropy of each layer; queries without a segment should say no-object."""
    queries = jnp.arange(class_logits.shape[2])
    owned = jnp.swapaxes(assignment, 0, 1)[:, :, None, :] == queries[None, None, :, None]
    label = jnp.where(owned, labels[None, :, None, :], 0).sum(-1)
    targets = jnp.where(owned.any(-1), label, num_classes)
    weights = jnp.ones(num_classes + 1, class_logits.dtype).at[num_classes].set(no_object_weight)
    return jax.vmap(lambda x, y: weighted_cross_entropy(x, y, class_weights=weights))(
        class_logits, targets
    )


@jax.custom_vjp
def compare_masks(
    mask_logits: Float[Array, "l b q h w"],
    assignment: Int[Array, "b l n"],
    segment_map: Int[Array, "b H W"],
) -> tuple[Float[Array, " l"], Float[Array, " l"]]:
    """Focal and dice loss of each layer, summed over the matched pairs of the batch.

    The logits are enlarged to the size of the segment map; the focal loss is the mean over its
    pixels. Segment slots are visited one after the other, up to the last one that any image of the
    batch uses, forwards and again backwards: enlarged masks exist for one slot at a time, and
    unused slots cost nothing.
    """
    layers, images = mask_logits.shape[:2]

    def add_slot(slot: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
        query = _query_of(slot, assignment)
        terms = _slot_losses(_take_masks(mask_logits, query), query >= 0, segment_map == slot)
        return sums[0] + terms[0], sums[1] + terms[1]

    zeros = jnp.zeros((layers, images), mask_logits.dtype)
    focal, dice = jax.lax.fori_loop(0, _count_slots(assignment), add_slot, (zeros, zeros))
    return focal.sum(1), dice.sum(1)


def _compare_masks_forward(mask_logits: Array, assignment: Array, segment_map: Array) -> tuple:
    arguments = (mask_logits, assignment, segment_map)
    return compare_masks(*arguments), arguments


def _compare_masks_backward(arguments: tuple, cotangents: tuple[Array, Array]) -> tuple:
    mask_logits, assignment, segment_map = arguments
    shape = mask_logits.shape[:2]
    per_image = tuple(jnp.broadcast_to(x[:, None], shape) for x in cotangents)

    def add_slot(slot: Array, gradient: Array) -> Array:
        query = _query_of(slot, assignment)
        _, pull_back = jax.vjp(
            lambda logits: _slot_losses(logits, query >= 0, segment_map == slot),
            _take_masks(mask_logits, query),
        )
        (term,) = pull_back(per_image)
        return _add_masks(gradient, query, term)

    gradient = jax.lax.fori_loop(0, _count_slots(assignment), add_slot, jnp.zeros_like(mask_logits))
    return gradient, None, None


compare_masks.defvjp(_compare_masks_forward, _compare_masks_backward)


def make_label_map(
    segment_map: Int[Array, "b h w"], labels: Int[Array, "b n"]
) -> Int[Array, "b h w"]:
    """The class of every pixel, -1 for void."""
    label = jax.vmap(lambda row, index: row[index])(labels, jnp.maximum(segment_map, 0))
    return jnp.where(segment_map >= 0, label, -1)


def compare_pixels(
    class_maps: Float[Array, "l b k h w"], label_map: Int[Array, "b H W"]
) -> Float[Array, " l"]:
    """Per-pixel cross-entropy of each layer, on maps enlarged four times.

    One layer at a time, enlarged again on the way back: K maps at full size are large.
    """
    height, width = label_map.shape[1:]

    @jax.checkpoint
    def compare(maps: Array) -> Array:
        enlarged = resize_bilinear(maps, (4 * maps.shape[-2], 4 * maps.shape[-1]))
        return pixel_cross_entropy(enlarged[..., :height, :width], label_map)

    return jax.lax.map(compare, class_maps)


def name_terms(terms: Mapping[str, Shaped[Array, " l"]]) -> dict[str, Shaped[Array, ""]]:
    """Name the terms of each layer: the last has no suffix, the earlier ones `_0`, `_1`, ..."""
    last = max(len(values) for values in terms.values()) - 1
    return {
        name + (f"_{layer}" if layer < last else ""): values[layer]
        for layer in range(last + 1)
        for name, values in terms.items()
    }


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


def _slot_losses(mask_logits: Array, matched: Array, masks: Array) -> tuple[Array, Array]:
    _, height, width = masks.shape
    enlarged = resize_bilinear(mask_logits, (height, width))
    focal = sigmoid_focal_loss(enlarged, masks[None]).mean((-2, -1))
    dice = dice_loss(enlarged, masks[None])
    return jnp.where(matched, focal, 0), jnp.where(matched, dice, 0)  # [l, b]
