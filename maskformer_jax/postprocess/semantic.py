"""Semantic inference: class scores or labels at every pixel (paper section 3.4)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.check_logits import check_logits
from maskformer_jax.postprocess.image_sizes import ImageSizes, SizeBounds
from maskformer_jax.postprocess.mask_readers import MaskReader, read_masks
from maskformer_jax.postprocess.masks import input_masks, output_masks, to_output
from maskformer_jax.postprocess.row_bands import (
    ReadColumns,
    RowFunction,
    all_rows,
    best_class,
    join_rows,
)
from maskformer_jax.precision import at_least_float32_dtype


def semantic_inference(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    padded_size: tuple[Any, Any],
    image_size: tuple[Any, Any],
    output_size: tuple[Any, Any],
    bounds: SizeBounds | None = None,
    resize_before_inference: bool = False,
) -> Float[Array, "k H W"]:
    """Score every class at every pixel: the sum over queries of class times mask probability.

    The no-object probability is dropped without renormalising, so scores are not probabilities.
    The label of a pixel is the argmax of its scores.

    As published, there are two bilinear resizes: mask logits are resized to the padded input, and
    the scores, with the padding cropped off, to the output. Sigmoid and sum come in between.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        padded_size: of the input after padding.
        image_size: of the input before padding.
        output_size: usually that of the original image.
        bounds: where the three sizes are data: what is known of them beforehand.
        resize_before_inference: apply sigmoid and sum after the second resize instead, as the
            panoptic models do.

    Returns:
        Scores of the K classes at `output_size`, at least float32.
    """
    check_logits(class_logits, mask_logits)
    sizes = ImageSizes(padded_size, image_size, output_size, bounds)
    scores = semantic_scores(
        class_logits, mask_logits, sizes=sizes, resize_before_inference=resize_before_inference
    )
    return all_rows(scores, sizes.output_bound[0])


def semantic_labels(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    sizes: ImageSizes,
    resize_before_inference: bool = False,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """The argmax of `semantic_inference`, computed in bands of rows.

    Neither K nor Q maps of the output's size ever exist, which keeps memory small for large images
    and many classes.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        sizes: of the image.
        resize_before_inference: as for `semantic_inference`.
        rows_per_band: output rows computed at once; by default chosen to bound memory.

    Returns:
        Labels 0..K-1, int32; the first of equal scores.
    """
    class_logits = class_logits.astype(at_least_float32_dtype(mask_logits.dtype))
    if resize_before_inference:
        reader = semantic_reader(class_logits, sizes.work.precision)
        (labels,) = read_masks(mask_logits, [reader], sizes=sizes, rows_per_band=rows_per_band)
        return labels
    labels = semantic_scores(
        class_logits, mask_logits, sizes=sizes, resize_before_inference=False, read=best_class
    )
    channels = max(class_logits.shape[1] - 1, len(mask_logits))
    return join_rows(labels, sizes, channels=channels, rows_per_band=rows_per_band)


def semantic_reader(
    class_logits: Float[Array, "q classes"], precision: jax.lax.Precision
) -> MaskReader:
    """`semantic_labels` with `resize_before_inference` as a reader of masks.

    Args:
        class_logits: at least float32.
        precision: of products.
    """
    scores = _class_sums(class_logits, precision)
    return MaskReader(
        lambda band: (best_class(scores(band.probabilities)), ()),
        lambda labels, _: labels,
        channels=max(class_logits.shape[1] - 1, len(class_logits)),
    )


def semantic_scores(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    sizes: ImageSizes,
    resize_before_inference: bool,
    read: ReadColumns | None = None,
) -> RowFunction:
    """The rows of `semantic_inference`'s scores, or what `read` makes of them."""
    class_logits = class_logits.astype(at_least_float32_dtype(mask_logits.dtype))
    sums = _class_sums(class_logits, sizes.work.precision)
    resized_masks = output_masks if resize_before_inference else input_masks
    masks = resized_masks(mask_logits, sizes)

    def scores(rows: Int[Array, " n"]) -> Float[Array, "k n w"]:
        return sums(jax.nn.sigmoid(masks(rows)))

    if not resize_before_inference:
        return to_output(scores, sizes, read=read)
    return scores if read is None else lambda rows: read(scores(rows))


def _class_sums(
    class_logits: Float[Array, "q classes"], precision: jax.lax.Precision
) -> Callable[[Float[Array, "q h w"]], Float[Array, "k h w"]]:
    """The sum over queries of class probabilities times the mask probabilities it is given."""
    probabilities = jax.nn.softmax(class_logits, axis=-1)[:, :-1]
    return lambda masks: jnp.einsum("qk,qhw->khw", probabilities, masks, precision=precision)
