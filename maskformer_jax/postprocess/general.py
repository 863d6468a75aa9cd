"""The paper's general inference, for semantic segmentation (section 3.4 and table VII)."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.mask_readers import MaskBand, MaskReader, read_masks
from maskformer_jax.postprocess.query_selection import select_queries
from maskformer_jax.precision import at_least_float32_dtype
from maskformer_jax.types import VOID


def general_semantic_labels(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    sizes: ImageSizes,
    score_threshold: float | Float[Array, ""] = 0.3,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """Assign every pixel to one query, and thereby to the query's class.

    Queries that predict no-object or whose class probability does not exceed the threshold are
    dropped. Each pixel goes to the remaining query with the largest product of class and mask
    probability. Unlike panoptic inference, no query loses its pixels afterwards. Compared with the
    sum over queries in `semantic_labels` this costs a point or two of mIoU and raises PQ^St
    (table VII).

    The paper specifies no more than this, and no config was published; as in panoptic inference,
    mask logits are resized to the output before the sigmoid.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        sizes: of the image.
        score_threshold: 0..1; the paper uses 0.3.
        rows_per_band: output rows computed at once; by default chosen to bound memory.

    Returns:
        Labels 0..K-1, int32, or -1 everywhere if no query is selected.
    """
    reader = general_reader(
        class_logits.astype(at_least_float32_dtype(mask_logits.dtype)),
        score_threshold=score_threshold,
    )
    (labels,) = read_masks(mask_logits, [reader], sizes=sizes, rows_per_band=rows_per_band)
    return labels


def general_reader(
    class_logits: Float[Array, "q classes"],
    *,
    score_threshold: float | Float[Array, ""],
) -> MaskReader:
    """`general_semantic_labels` as a reader of masks.

    Args:
        class_logits: at least float32.
        score_threshold: 0..1.
    """
    queries = select_queries(class_logits, threshold=score_threshold)

    def read(band: MaskBand) -> tuple[Array, tuple[()]]:
        return queries.assign_pixels(band.probabilities), ()

    def finish(owners: Array, _: tuple[()]) -> Array:
        return jnp.where(queries.selected.any(), queries.label[owners], VOID)

    return MaskReader(read, finish, channels=len(class_logits))
