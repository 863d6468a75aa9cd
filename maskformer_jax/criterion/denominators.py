"""What the terms of the loss are divided by; known from the ground truth alone.

That lets a batch be gone through in parts: every part divides by the whole batch's numbers, and the
parts' losses and gradients add up to those of the whole.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import LossConfig
from maskformer_jax.matching.match import assign_fixed
from maskformer_jax.types import Batch


class Denominators(NamedTuple):
    """By what the sums over each image are divided. Those of a part of a batch are a slice."""

    classes: Any  # float32 [B], the weights of all queries in the image's group, times the groups
    pixels: Any  # float32 [B], the labelled pixels in the image's group, times the groups
    masks: Any  # float32 [B], the segments of the batch, the same for all images


def count_denominators(
    batch: Batch, config: LossConfig, *, num_queries: int, dtype: Any = jnp.float32
) -> Denominators:
    """The denominators of a whole batch.

    Masks are divided by the number of segments of the batch, matched or not, at least 1. Class
    losses are a mean weighted by the class weights, over all queries of the batch, or of each of
    `config.class_groups` equal parts of it and then averaged (the published system normalises them
    on each of its devices by themselves); the per-pixel losses likewise over the labelled pixels.
    """
    labels, segment_valid = jnp.asarray(batch.labels), jnp.asarray(batch.segment_valid)
    segments = segment_valid.sum(1)
    matched = jnp.minimum(segments, num_queries)
    if config.matching == "fixed":
        matched = (assign_fixed(labels, segment_valid, num_layers=1) >= 0).sum((1, 2))
    weights = matched + config.no_object_weight * (num_queries - matched).astype(dtype)
    if batch.segment_map is None:
        pixels = jnp.zeros(len(labels), dtype)
    else:
        pixels = (jnp.asarray(batch.segment_map) >= 0).sum((1, 2)).astype(dtype)
    return Denominators(
        classes=_by_group(weights, config.class_groups, least=float(jnp.finfo(dtype).tiny)),
        pixels=_by_group(pixels, config.class_groups, least=1.0),
        masks=jnp.broadcast_to(jnp.maximum(segments.sum(), 1).astype(dtype), (len(labels),)),
    )


def _by_group(
    values: Float[Array, " b"] | Int[Array, " b"], groups: int, *, least: float
) -> Float[Array, " b"]:
    """The sum over the group of each image, at least `least`, times the number of groups."""
    if groups == 1:
        return jnp.broadcast_to(jnp.maximum(values.sum(), least), values.shape)
    group = jnp.arange(values.size) * groups // values.size
    # Sums rather than a reshape, so that only they travel where the batch is split over devices.
    mine: Bool[Array, "g b"] = group == jnp.arange(groups)[:, None]
    sums = jnp.maximum(jnp.where(mine, values, 0).sum(1), least)
    return jnp.where(mine, sums[:, None], 0).sum(0) * groups
