"""Panoptic inference: every pixel goes to at most one query (paper section 3.4)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.postprocess.check_logits import check_logits
from maskformer_jax.postprocess.image_sizes import ImageSizes, SizeBounds
from maskformer_jax.postprocess.mask_readers import MaskBand, MaskReader, read_masks
from maskformer_jax.postprocess.pixel_counts import count_pixels
from maskformer_jax.postprocess.query_selection import select_queries
from maskformer_jax.precision import at_least_float32_dtype


class PanopticSegmentation(NamedTuple):
    """Segments as an id map and a table of Q slots; slot i - 1 describes the segment with id i.

    The n segments have the ids 1..n and fill the first n slots, in the order of their queries.
    """

    id_map: Any  # int32 [H, W], 0 for pixels of no segment
    valid: Any  # bool [Q], which slots hold a segment
    label: Any  # int32 [Q], class 0..K-1; 0 in unused slots
    is_thing: Any  # bool [Q]
    score: Any  # float32 [Q], class probability; that of the first query for merged stuff


def panoptic_inference(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    is_thing: Bool[Array | np.ndarray, " k"],
    *,
    padded_size: tuple[Any, Any],
    image_size: tuple[Any, Any],
    output_size: tuple[Any, Any],
    bounds: SizeBounds | None = None,
    object_mask_threshold: float | Float[Array, ""] = 0.8,
    overlap_threshold: float | Float[Array, ""] = 0.8,
    rows_per_band: int | None = None,
) -> PanopticSegmentation:
    """Partition an image into segments.

    Queries that predict no-object or whose class probability does not exceed
    `object_mask_threshold` are dropped. Every pixel goes to the remaining query with the largest
    product of class and mask probability, however small. A query keeps its pixels only if they
    number at least `overlap_threshold` of the pixels where its mask probability is at least 0.5.
    The remaining regions of one stuff class form a single segment.

    The work is done in bands of rows, so Q maps of the output's size never exist.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        is_thing: which of the K classes are things.
        padded_size: of the input after padding.
        image_size: of the input before padding.
        output_size: usually that of the original image.
        bounds: where the three sizes are data: what is known of them beforehand.
        object_mask_threshold: 0..1; the paper uses 0.8 for COCO and 0.7 for ADE20K.
        overlap_threshold: 0..1.
        rows_per_band: output rows computed at once; by default chosen to bound memory.
    """
    check_logits(class_logits, mask_logits, is_thing)
    sizes = ImageSizes(padded_size, image_size, output_size, bounds)
    reader = panoptic_reader(
        class_logits.astype(at_least_float32_dtype(mask_logits.dtype)),
        is_thing,
        object_mask_threshold=object_mask_threshold,
        overlap_threshold=overlap_threshold,
    )
    (segmentation,) = read_masks(mask_logits, [reader], sizes=sizes, rows_per_band=rows_per_band)
    return segmentation


def panoptic_reader(
    class_logits: Float[Array, "q classes"],
    is_thing: Bool[Array | np.ndarray, " k"],
    *,
    object_mask_threshold: float | Float[Array, ""],
    overlap_threshold: float | Float[Array, ""],
) -> MaskReader:
    """`panoptic_inference` as a reader of masks.

    Args:
        class_logits: at least float32.
        is_thing: which of the K classes are things.
        object_mask_threshold: 0..1.
        overlap_threshold: 0..1.
    """
    num_queries = len(class_logits)
    queries = select_queries(class_logits, threshold=object_mask_threshold)

    def read(band: MaskBand) -> tuple[Array, tuple[Array, Array]]:
        owner = queries.assign_pixels(band.probabilities)
        owned = owner[None] == jnp.arange(num_queries, dtype=jnp.int32)[:, None, None]
        owned_area, mask_area = (
            count_pixels(pixels & band.is_output[None])
            for pixels in (owned, band.probabilities >= 0.5)
        )
        return owner, (owned_area, mask_area)

    def finish(owners: Array, areas: tuple[Array, Array]) -> PanopticSegmentation:
        owned_area, mask_area = areas
        dtype = class_logits.dtype
        share = owned_area.astype(dtype) / jnp.maximum(mask_area, 1).astype(dtype)
        has_area = (owned_area > 0) & (mask_area > 0)
        accepted = queries.selected & has_area & (share >= overlap_threshold)

        label = jnp.where(queries.selected, queries.label, 0)
        thing = jnp.asarray(is_thing)[label]
        first = _first_of_segment(accepted, label, thing)
        starts_segment = accepted & (first == jnp.arange(num_queries))
        segment_id = jnp.where(accepted, jnp.cumsum(starts_segment)[first], 0).astype(jnp.int32)
        # Queries that start no segment write past the end, which drops them.
        slot = jnp.where(starts_segment, segment_id - 1, num_queries)

        def by_slot(values: Array) -> Array:
            return jnp.zeros(num_queries, values.dtype).at[slot].set(values, mode="drop")

        return PanopticSegmentation(
            id_map=segment_id[owners],
            valid=by_slot(starts_segment),
            label=by_slot(label),
            is_thing=by_slot(thing),
            score=by_slot(queries.score),
        )

    return MaskReader(read, finish, channels=num_queries)


def _first_of_segment(
    accepted: Bool[Array, " q"], label: Int[Array, " q"], thing: Bool[Array, " q"]
) -> Int[Array, " q"]:
    """Index of the query that starts each query's segment.

    A thing is its own segment; stuff joins the first accepted query of its class.
    """
    same = accepted[None] & (label[:, None] == label[None])
    return jnp.where(thing, jnp.arange(len(label)), same.argmax(axis=1))
