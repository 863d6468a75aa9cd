"""From predictions and ground truth to the training loss (paper section 3.2, arXiv 2107.06278).

Each decoder layer is matched and compared separately; the total is the sum over layers.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Shaped

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.class_loss import compute_class_loss
from maskformer_jax.criterion.ground_truth import make_ground_truth
from maskformer_jax.criterion.mask_losses import compute_mask_losses
from maskformer_jax.criterion.matching import assign_queries
from maskformer_jax.criterion.normalizers import Normalizers, count_normalizers
from maskformer_jax.criterion.per_pixel_loss import compute_per_pixel_loss
from maskformer_jax.errors import UserError
from maskformer_jax.precision import at_least_float32
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
    normalizers: Normalizers | None = None,
    precision: jax.lax.Precision = jax.lax.Precision.HIGHEST,
) -> tuple[Float[Array, ""], dict[str, Any]]:
    """The training loss of a global batch and its terms.

    Args:
        predictions: of all decoder layers; `mask_logits` cover the padded images.
        batch: ground truth at the size of the images before padding.
        config: weights of costs and losses, and departures from the published loss.
        num_classes: K; label K stands for no-object.
        size_divisibility: the model pads images to a multiple of it. Padding and void count as
            outside of every mask, unless the config says otherwise.
        mesh: of the devices over which the batch is sharded, along all of its axes.
        key: draws the points of `config.num_points` and `config.num_cost_points`.
        normalizers: of the whole batch, where this is a part of it (gradient accumulation): the
            losses of the parts then add up to that of the whole.
        precision: in which the mask losses enlarge logits, see `precision.precision_of_masks`.

    Returns:
        The total, and the weighted terms that it is the sum of: `loss_class`, `loss_mask` and
        `loss_dice` of the last layer, and the same with `_0`, `_1`, ... for the earlier ones; for
        the per-pixel baselines, which have no class predictions, only `loss_sem_seg`. Also
        `finite_images`, bool [B]: whether all predictions and matching costs of an image are
        finite.

    Raises:
        UserError: the config does not fit the model or the batch.
    """
    predictions = jax.tree.map(at_least_float32, predictions)
    finite = find_finite_images(predictions)
    if normalizers is None:
        num_queries, dtype = predictions.mask_logits.shape[2], predictions.mask_logits.dtype
        normalizers = count_normalizers(batch, config, num_queries=num_queries, dtype=dtype)
    truth = make_ground_truth(batch, config, size_divisibility=size_divisibility)
    if predictions.class_logits is None:
        per_pixel = compute_per_pixel_loss(predictions.mask_logits, truth, normalizers.pixels)
        total = per_pixel.sum()
        return total, {**name_terms({"loss_sem_seg": per_pixel}), "finite_images": finite}

    cost_key, loss_key = _split_key(key, config)
    assignment, finite_costs = assign_queries(predictions, truth, config, mesh=mesh, key=cost_key)
    cross_entropy = compute_class_loss(
        predictions.class_logits,
        assignment,
        truth.labels,
        normalizers.classes,
        num_classes=num_classes,
        no_object_weight=config.no_object_weight,
    )
    num_masks = normalizers.masks.max()
    mask_losses = compute_mask_losses(
        predictions.mask_logits,
        assignment,
        truth.masks,
        truth.pixel_valid,
        focal_weight=config.mask_weight / num_masks,
        dice_weight=config.dice_weight / num_masks,
        num_points=config.num_points,
        key=loss_key,
        by_layer=config.by_layer,
        precision=precision,
    )
    classification = config.class_weight * cross_entropy
    losses = Losses(classification, mask_losses.focal, mask_losses.dice)
    total = classification.sum() + mask_losses.total.sum()
    return total, {**name_terms(losses._asdict()), "finite_images": finite & finite_costs}


def find_finite_images(predictions: Predictions) -> Bool[Array, " b"]:
    """Whether all logits of an image, of all queries and layers, are finite."""

    def no_logit_is_infinite(logits: Array) -> Array:
        # Zero times a number is zero, times infinity or NaN it is NaN. So this is a sum over the
        # pixels or classes of a query, as the costs are, which a compiler can take in one pass.
        zeros = logits.reshape(*logits.shape[:3], -1) * 0
        return (zeros.sum(-1) == 0).all((0, 2))

    leaves = jax.tree.leaves(jax.lax.stop_gradient(predictions))
    return jnp.stack([no_logit_is_infinite(x) for x in leaves]).all(0)


def name_terms(terms: Mapping[str, Shaped[Array, " l"]]) -> dict[str, Shaped[Array, ""]]:
    """Name the terms of each layer: the last has no suffix, the earlier ones `_0`, `_1`, ..."""
    last = max(len(values) for values in terms.values()) - 1
    return {
        name + (f"_{layer}" if layer < last else ""): values[layer]
        for layer in range(last + 1)
        for name, values in terms.items()
    }


def _split_key(key: Array | None, config: LossConfig) -> tuple[Array | None, Array | None]:
    """One key for the points of the matching, one for those of the losses."""
    if key is not None:
        cost_key, loss_key = jax.random.split(key)
        return cost_key, loss_key
    if config.num_points or config.num_cost_points:
        raise UserError("config.loss.num_points and num_cost_points need a random key")
    return None, None
