"""From predictions and ground truth to the training loss (paper section 3.2, arXiv 2107.06278).

Every decoder layer is matched and compared on its own; the total is the sum over layers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int, Shaped

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.denominators import Denominators, count_denominators
from maskformer_jax.criterion.ground_truth import (
    GroundTruth,
    counted_at_points,
    counted_at_size,
    make_ground_truth,
    masks_at_points,
    masks_at_size,
)
from maskformer_jax.criterion.mask_losses import compare_masks
from maskformer_jax.criterion.point_sampling import sample_bilinear
from maskformer_jax.errors import UserError
from maskformer_jax.losses import pixel_cross_entropy, weighted_cross_entropy
from maskformer_jax.matching.box_costs import compute_box_costs
from maskformer_jax.matching.costs import class_costs, compute_costs, weighted_cost
from maskformer_jax.matching.match import TOO_LARGE, assign_fixed, match
from maskformer_jax.precision import at_least_float32
from maskformer_jax.resize import resize_bilinear
from maskformer_jax.types import Batch, Losses, Predictions


def compute_losses(
    predictions: Predictions,
    batch: Batch,
    config: LossConfig,
    *,
    num_classes: int,
    size_divisibility: int,
    mesh: Mesh | None = None,
    key: Array | None = None,
    denominators: Denominators | None = None,
) -> tuple[Float[Array, ""], dict[str, Any]]:
    """The training loss of a global batch and its terms.

    Args:
        predictions: of all decoder layers; `mask_logits` cover the padded image.
        batch: ground truth at the size of the images before padding.
        config: weights of losses and costs, and what of the published loss is changed.
        num_classes: K; label K stands for no-object.
        size_divisibility: what the model pads images to a multiple of. The padding counts as
            outside of every mask, and so does void, unless the config says otherwise.
        mesh: over all of whose axes the batch is split, where it is.
        key: draws the points of `config.num_points` and `config.num_cost_points`.
        denominators: of the whole batch where this is a part of it (accumulated gradients): the
            losses of the parts then add up to that of the whole.

    Returns:
        The total, and the weighted terms it is the sum of: `loss_class`, `loss_mask` and
        `loss_dice` of the last layer, and the same with `_0`, `_1`, ... for the earlier ones; for
        the per-pixel baselines, which predict no classes, `loss_sem_seg` alone. Besides,
        `finite_images`, bool [B]: whether all predictions and matching costs of an image are
        finite.

    Raises:
        UserError: the config does not fit the model or the batch.
    """
    predictions = jax.tree.map(at_least_float32, predictions)
    finite = find_finite_images(predictions)
    labels, segment_valid = jnp.asarray(batch.labels), jnp.asarray(batch.segment_valid)
    dtype = predictions.mask_logits.dtype
    if denominators is None:
        denominators = count_denominators(
            batch, config, num_queries=predictions.mask_logits.shape[2], dtype=dtype
        )
    truth = make_ground_truth(batch, config, size_divisibility=size_divisibility)
    if predictions.class_logits is None:
        if truth.segment_map is None:
            raise UserError("the per-pixel baselines cannot be trained on segments that overlap")
        label_map = make_label_map(truth.segment_map, labels)
        values = compare_pixels(predictions.mask_logits, label_map, denominators.pixels)
        return values.sum(), {**name_terms({"loss_sem_seg": values}), "finite_images": finite}

    if key is None and (config.num_points or config.num_cost_points):
        raise UserError("config.loss.num_points and num_cost_points need a random key")
    cost_key, loss_key = (None, None) if key is None else jax.random.split(key)
    assignment, finite_costs = assign_queries(
        predictions, truth, labels, segment_valid, config, mesh=mesh, key=cost_key
    )
    loss_class = compare_classes(
        predictions.class_logits,
        assignment,
        labels,
        denominators.classes,
        num_classes=num_classes,
        no_object_weight=config.no_object_weight,
    )
    key_data = None if loss_key is None else jax.random.key_data(loss_key)

    def compare(pairs: tuple[Array, Array]) -> tuple[Array, Array]:
        mask_logits, queries = pairs
        layers = jnp.swapaxes(queries, 0, 1)
        return compare_masks(mask_logits, layers, truth, key_data, config.num_points)

    pairs = (predictions.mask_logits, jnp.swapaxes(assignment, 0, 1))
    focal, dice = _by_layer(compare, pairs, axis=0) if config.by_layer else compare(pairs)
    num_masks = denominators.masks.max()
    losses = Losses(
        loss_class=config.class_weight * loss_class,
        loss_mask=config.mask_weight * focal / num_masks,
        loss_dice=config.dice_weight * dice / num_masks,
    )
    terms: dict[str, Any] = name_terms(losses._asdict())
    return sum(x.sum() for x in losses), {**terms, "finite_images": finite & finite_costs}


def find_finite_images(predictions: Predictions) -> Bool[Array, " b"]:
    """Whether all logits of an image, of all queries and layers, are finite numbers."""
    finite = [
        jnp.isfinite(x).all(tuple(axis for axis in range(x.ndim) if axis != 1))
        for x in jax.tree.leaves(jax.lax.stop_gradient(predictions))
    ]
    return jnp.stack(finite).all(0)


def assign_queries(
    predictions: Predictions,
    truth: GroundTruth,
    labels: Int[Array, "b n"],
    segment_valid: Bool[Array, "b n"],
    config: LossConfig,
    *,
    mesh: Mesh | None = None,
    key: Array | None = None,
) -> tuple[Int[Array, "b l n"], Bool[Array, " b"]]:
    """The query of each segment, -1 for none, and whether all costs of an image are finite.

    Raises:
        UserError: fixed matching with another number of queries than of classes.
    """
    layers, images, queries, _, _ = predictions.mask_logits.shape
    if config.matching == "fixed":
        num_classes = predictions.class_logits.shape[-1] - 1
        if queries != num_classes:
            raise UserError(
                f"config.model.transformer_decoder.num_queries is {queries}, but config.loss."
                f"matching 'fixed' gives each class a query of its own: set it to {num_classes}"
            )
        assignment = assign_fixed(labels, segment_valid, num_layers=layers)
        return assignment, jnp.ones(images, bool)

    def cost_of(layers: Predictions) -> Array:
        return matching_cost(layers, truth, labels, segment_valid, config, key=key)

    cost = _by_layer(cost_of, predictions, axis=1) if config.by_layer else cost_of(predictions)
    finite = (jnp.abs(cost) <= TOO_LARGE).all((1, 2, 3))
    return match(cost, segment_valid, matcher=config.matcher, mesh=mesh), finite


def matching_cost(
    predictions: Predictions,
    truth: GroundTruth,
    labels: Int[Array, "b n"],
    segment_valid: Bool[Array, "b n"],
    config: LossConfig,
    *,
    key: Array | None = None,
) -> Float[Array, "b l q n"]:
    """What the assignment makes smallest, at the size of the mask logits or on random points."""
    images, num_slots = labels.shape
    size = predictions.mask_logits.shape[-2:]
    if config.matching == "boxes":
        masks = masks_at_size(truth, size, num_slots=num_slots)
        classification = class_costs(predictions.class_logits, labels, segment_valid)
        boxes = compute_box_costs(predictions.mask_logits, masks, segment_valid)
        return config.class_cost * classification + boxes
    if config.num_cost_points:
        assert key is not None
        points = jax.random.uniform(key, (images, config.num_cost_points, 2))
        logits = jax.lax.stop_gradient(predictions.mask_logits)
        sampled = sample_bilinear(logits, points[None, :, None])[..., None, :]
        predictions = predictions._replace(mask_logits=sampled)
        masks = masks_at_points(truth, points, jnp.arange(num_slots))[:, :, None]
        counted = counted_at_points(truth, points)
        counted = None if counted is None else counted[:, None]
    else:
        masks = masks_at_size(truth, size, num_slots=num_slots)
        counted = counted_at_size(truth, size)
    costs = compute_costs(predictions, masks, labels, segment_valid, counted=counted)
    return weighted_cost(costs, config=config)


def compare_classes(
    class_logits: Float[Array, "l b q classes"],
    assignment: Int[Array, "b l n"],
    labels: Int[Array, "b n"],
    denominators: Float[Array, " b"],
    *,
    num_classes: int,
    no_object_weight: float,
) -> Float[Array, " l"]:
    """Weighted cross-entropy of each layer; queries without a segment should say no-object.

    The sum over each image is divided by its denominator.
    """
    queries = jnp.arange(class_logits.shape[2])
    owned = jnp.swapaxes(assignment, 0, 1)[:, :, None, :] == queries[None, None, :, None]
    label = jnp.where(owned, labels[None, :, None, :], 0).sum(-1)
    targets = jnp.where(owned.any(-1), label, num_classes)
    weights = jnp.ones(num_classes + 1, class_logits.dtype).at[num_classes].set(no_object_weight)
    nll = weighted_cross_entropy(class_logits, targets, class_weights=weights)
    return (nll.sum(2) / denominators[None]).sum(1)


def make_label_map(
    segment_map: Int[Array, "b h w"], labels: Int[Array, "b n"]
) -> Int[Array, "b h w"]:
    """The class of every pixel, -1 for void."""
    label = jax.vmap(lambda row, index: row[index])(labels, jnp.maximum(segment_map, 0))
    return jnp.where(segment_map >= 0, label, -1)


def compare_pixels(
    class_maps: Float[Array, "l b k h w"],
    label_map: Int[Array, "b H W"],
    denominators: Float[Array, " b"],
) -> Float[Array, " l"]:
    """Per-pixel cross-entropy of each layer, on maps enlarged four times.

    The sum over each image is divided by its denominator. One layer at a time, enlarged again on
    the way back: K maps at full size are large.
    """
    height, width = label_map.shape[1:]

    @jax.checkpoint
    def compare(maps: Array) -> Array:
        enlarged = resize_bilinear(maps, (4 * maps.shape[-2], 4 * maps.shape[-1]))
        nll = pixel_cross_entropy(enlarged[..., :height, :width], label_map)
        return (nll.sum((1, 2)) / denominators).sum()

    return jax.lax.map(compare, class_maps)


def name_terms(terms: Mapping[str, Shaped[Array, " l"]]) -> dict[str, Shaped[Array, ""]]:
    """Name the terms of each layer: the last has no suffix, the earlier ones `_0`, `_1`, ..."""
    last = max(len(values) for values in terms.values()) - 1
    return {
        name + (f"_{layer}" if layer < last else ""): values[layer]
        for layer in range(last + 1)
        for name, values in terms.items()
    }


def _by_layer(function: Callable[[Any], Any], arrays: Any, *, axis: int) -> Any:
    """Apply a function of all layers (axis 0) to one after the other; `axis` is the results'."""

    def one(layer: Any) -> Any:
        result = function(jax.tree.map(lambda x: x[None], layer))
        return jax.tree.map(lambda x: x.squeeze(axis), result)

    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, axis), jax.lax.map(one, arrays))
