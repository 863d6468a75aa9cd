"""What the terms of the loss are divided by; it depends on the ground truth alone.

A batch can therefore be processed in parts: each part is divided by the normalizers of the whole
batch, and losses and gradients of the parts add up to those of the whole.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import LossConfig
from maskformer_jax.matching.match import assign_fixed
from maskformer_jax.types import Batch


class Normalizers(NamedTuple):
    """The divisors of each image's sums. Those of a part of a batch are a slice."""

    classes: Any  # float32 [B], summed class weights of the image's group, times the groups
    pixels: Any  # float32 [B], labelled pixels of the image's group, times the groups
    masks: Any  # float32 [B], segments of the whole batch, the same for all images


def count_normalizers(
    batch: Batch, config: LossConfig, *, num_queries: int, dtype: Any = jnp.float32
) -> Normalizers:
    """The normalizers of a whole batch.

    Mask losses are divided by the number of segments in the batch, matched or not, at least 1.
    The class loss is the mean over all queries, weighted by the weights of their target classes;
    the per-pixel loss is the mean over labelled pixels. Both means are over the batch, or over each
    of `config.class_groups` equal parts of it and then averaged, as in the published system, which
    normalises on each device separately.
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
    return Normalizers(
        classes=_sum_groups(weights, config.class_groups, at_least=float(jnp.finfo(dtype).tiny)),
        pixels=_sum_groups(pixels, config.class_groups, at_least=1.0),
        masks=jnp.broadcast_to(jnp.maximum(segments.sum(), 1).astype(dtype), (len(labels),)),
    )


def _sum_groups(
    values: Float[Array, " b"] | Int[Array, " b"], groups: int, *, at_least: float
) -> Float[Array, " b"]:
    """For each image the sum over its group, no less than `at_least`, times the groups."""
    if groups == 1:
        return jnp.broadcast_to(jnp.maximum(values.sum(), at_least), values.shape)
    group = jnp.arange(values.size) * groups // values.size
    # Masked sums rather than a reshape: where the batch is sharded, devices exchange only the sums.
    in_group: Bool[Array, "g b"] = group[None] == jnp.arange(groups)[:, None]
    sums = jnp.maximum(jnp.where(in_group, values[None], 0).sum(1), at_least)
    return jnp.where(in_group, sums[:, None], 0).sum(0) * groups
