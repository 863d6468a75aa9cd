"""The paper's general inference, for semantic segmentation (section 3.4 and table VII)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.claims import claim
from maskformer_jax.postprocess.rows import join_bands, map_bands
from maskformer_jax.postprocess.semantic import output_masks
from maskformer_jax.resize import Size


def general_semantic_labels(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    padded_size: Size,
    image_size: Size,
    output_size: Size,
    score_threshold: float | Float[Array, ""] = 0.3,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """Give every pixel to one query, and so the query's class.

    Queries that say no-object, or whose class probability is not above the threshold, drop out;
    of the others each pixel goes to the one with the largest product of class and mask probability.
    Unlike in panoptic inference no query loses its pixels again. Against the sum over queries of
    `semantic_labels` this costs a point or two of mIoU and raises the PQ of stuff (table VII).

    The paper says no more than this and no config of it was published; as in panoptic inference
    mask logits are resized to the output before the sigmoid.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        padded_size: of the input after padding.
        image_size: of the input before padding.
        output_size: usually that of the original image.
        score_threshold: 0..1; the paper has 0.3.
        rows_per_band: output rows that are computed at once; by default as memory suggests.

    Returns:
        Labels 0..K-1, int32, or -1 everywhere if no query is kept.
    """
    dtype = jnp.promote_types(mask_logits.dtype, jnp.float32)
    claims = claim(class_logits.astype(dtype), threshold=score_threshold)
    masks = output_masks(
        mask_logits, padded_size=padded_size, image_size=image_size, output_size=output_size
    )
    winners = map_bands(
        lambda rows, _: claims.winner(jax.nn.sigmoid(masks(rows))),
        output_size=output_size,
        channels=len(mask_logits),
        rows_per_band=rows_per_band,
    )
    labels = claims.label[join_bands(winners, output_size[0])]
    return jnp.where(claims.kept.any(), labels, -1)
