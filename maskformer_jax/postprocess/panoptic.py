"""Panoptic inference: each pixel to the query that claims it most (paper section 3.4)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from maskformer_jax.postprocess.claims import claim
from maskformer_jax.postprocess.rows import join_bands, map_bands
from maskformer_jax.postprocess.semantic import output_masks
from maskformer_jax.resize import Size


class PanopticSegmentation(NamedTuple):
    """Segments as an id map and a table with a slot for each query; segment i stands in slot i - 1.

    The n segments have the ids 1..n and fill the first n slots, in the order of their queries.
    """

    id_map: Any  # int32 [H, W], 0 void
    valid: Any  # bool [Q], which slots hold a segment
    label: Any  # int32 [Q], class 0..K-1; 0 in unused slots
    is_thing: Any  # bool [Q]
    score: Any  # float32 [Q], class probability, of merged stuff that of the first query


def panoptic_inference(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    is_thing: Bool[Array | np.ndarray, " k"],
    *,
    padded_size: Size,
    image_size: Size,
    output_size: Size,
    object_mask_threshold: float | Float[Array, ""] = 0.8,
    overlap_threshold: float | Float[Array, ""] = 0.8,
    rows_per_band: int | None = None,
) -> PanopticSegmentation:
    """Divide an image into segments.

    Queries that say no-object, or whose class probability is not above `object_mask_threshold`,
    drop out. Every pixel goes to the query with the largest product of class and mask probability,
    also where that is small. A query whose pixels are fewer than `overlap_threshold` of those
    where its mask probability is at least 0.5 loses them all to void. What is left of the same
    stuff class becomes one segment.

    The work is done in bands of rows, so Q maps of the output's size never exist.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        is_thing: which of the K classes are things.
        padded_size: of the input after padding.
        image_size: of the input before padding.
        output_size: usually that of the original image.
        object_mask_threshold: 0..1; 0.8 for COCO, 0.7 for ADE20K.
        overlap_threshold: 0..1.
        rows_per_band: output rows that are computed at once; by default as memory suggests.
    """
    dtype = jnp.promote_types(mask_logits.dtype, jnp.float32)
    num_queries = len(class_logits)
    claims = claim(class_logits.astype(dtype), threshold=object_mask_threshold)
    score, label, kept = claims
    masks = output_masks(
        mask_logits, padded_size=padded_size, image_size=image_size, output_size=output_size
    )

    def one_band(rows: Array, counts: Array) -> tuple[Array, Array, Array]:
        mask = jax.nn.sigmoid(masks(rows))
        winner = claims.winner(mask)
        wins = winner == jnp.arange(num_queries, dtype=jnp.int32)[:, None, None]
        won, own = (
            (pixels & counts[:, None]).sum(axis=(1, 2), dtype=jnp.int32)
            for pixels in (wins, mask >= 0.5)
        )
        return winner, won, own

    winners, won, own = map_bands(
        one_band, output_size=output_size, channels=num_queries, rows_per_band=rows_per_band
    )
    won, own = won.sum(axis=0), own.sum(axis=0)
    large = won.astype(dtype) / jnp.maximum(own, 1).astype(dtype) >= overlap_threshold
    accepted = kept & (won > 0) & (own > 0) & large

    label = jnp.where(kept, label, 0)
    thing = jnp.asarray(is_thing)[label]
    # The query that a segment is named after: of a stuff class the first that was accepted.
    same = accepted & (label[:, None] == label)
    first = jnp.where(thing, jnp.arange(num_queries), same.argmax(axis=1))
    founds = accepted & (first == jnp.arange(num_queries))
    ids = jnp.where(accepted, jnp.cumsum(founds)[first], 0).astype(jnp.int32)
    slot = jnp.where(founds, ids - 1, num_queries)  # what founds no segment is dropped

    def by_slot(values: Array) -> Array:
        return jnp.zeros(num_queries, values.dtype).at[slot].set(values, mode="drop")

    return PanopticSegmentation(
        id_map=ids[join_bands(winners, output_size[0])],
        valid=by_slot(founds),
        label=by_slot(label),
        is_thing=by_slot(thing),
        score=by_slot(score),
    )
