"""Match queries to segments, in every decoder layer: their costs, then the assignment."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.ground_truth import GroundTruth
from maskformer_jax.criterion.layers import map_layers
from maskformer_jax.criterion.pixel_valid import valid_at_points, valid_at_size
from maskformer_jax.criterion.point_sampling import sample_bilinear
from maskformer_jax.errors import UserError
from maskformer_jax.matching.box_costs import compute_box_costs
from maskformer_jax.matching.costs import class_costs, compute_costs, weighted_cost
from maskformer_jax.matching.match import MAX_COST, assign_fixed, match
from maskformer_jax.types import Predictions


def assign_queries(
    predictions: Predictions,
    truth: GroundTruth,
    config: LossConfig,
    *,
    mesh: Mesh | None = None,
    key: Array | None = None,
) -> tuple[Int[Array, "b l n"], Bool[Array, " b"]]:
    """The query of each segment, -1 for none, and whether all costs of an image are finite.

    Args:
        predictions: of all decoder layers.
        truth: the segments.
        config: how to match, and the weights of the costs.
        mesh: of the devices over which images are sharded.
        key: draws the points of `config.num_cost_points`.

    Raises:
        UserError: fixed matching, but not one query for each class.
    """
    layers, images, queries, _, _ = predictions.mask_logits.shape
    if config.matching == "fixed":
        num_classes = predictions.class_logits.shape[-1] - 1
        if queries != num_classes:
            raise UserError(
                f"config.model.transformer_decoder.num_queries is {queries}, but must be "
                f"{num_classes} (config.loss.matching 'fixed' gives each class its own query)"
            )
        assignment = assign_fixed(truth.labels, truth.segment_valid, num_layers=layers)
        return assignment, jnp.ones(images, bool)

    cost = map_layers(
        lambda layers: matching_cost(layers, truth, config, key=key),
        predictions,
        one_by_one=config.by_layer,
        out_axis=1,
    )
    finite = (jnp.abs(cost) <= MAX_COST).all((1, 2, 3))
    return match(cost, truth.segment_valid, matcher=config.matcher, mesh=mesh), finite


def matching_cost(
    predictions: Predictions, truth: GroundTruth, config: LossConfig, *, key: Array | None = None
) -> Float[Array, "b l q n"]:
    """The cost that the assignment minimises, at the size of the mask logits or at random points.

    The points are the same for all queries, segments and decoder layers of an image.
    """
    labels, segment_valid = truth.labels, truth.segment_valid
    size = predictions.mask_logits.shape[-2:]
    if config.matching == "boxes":
        masks = truth.masks.at_size(size)
        classification = class_costs(predictions.class_logits, labels, segment_valid)
        boxes = compute_box_costs(predictions.mask_logits, masks, segment_valid)
        return config.class_cost * classification + boxes
    if config.num_cost_points:
        assert key is not None
        images, num_slots = labels.shape
        points = jax.random.uniform(key, (images, config.num_cost_points, 2))
        logits = jax.lax.stop_gradient(predictions.mask_logits)
        # Maps of one row: the costs of points are those of a mask of one row of pixels.
        sampled = sample_bilinear(logits, points[None, :, None])[..., None, :]
        predictions = predictions._replace(mask_logits=sampled)
        masks = truth.masks.at_points(points, jnp.arange(num_slots))[:, :, None]
        pixel_valid = valid_at_points(truth.pixel_valid, points)
        pixel_valid = None if pixel_valid is None else pixel_valid[:, None]
    else:
        masks = truth.masks.at_size(size)
        pixel_valid = valid_at_size(truth.pixel_valid, size)
    costs = compute_costs(predictions, masks, labels, segment_valid, pixel_valid=pixel_valid)
    return weighted_cost(costs, config=config)
