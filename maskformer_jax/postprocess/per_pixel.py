"""Semantic inference of the per-pixel baselines (paper section 4.1)."""

from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.masks import logits_size, output_masks
from maskformer_jax.postprocess.row_bands import (
    ReadColumns,
    RowFunction,
    all_rows,
    best_class,
    join_rows,
)


def per_pixel_inference(
    class_maps: Float[Array, "k h w"], *, sizes: ImageSizes
) -> Float[Array, "k H W"]:
    """Score every class at every pixel: the logits, resized to the output.

    Args:
        class_maps: the `mask_logits` of one image and the last layer, one map per class.
        sizes: of the image. As published, maps are enlarged four times whatever the padded size.

    Returns:
        Logits of the K classes at the output's size, at least float32.
    """
    return all_rows(per_pixel_scores(class_maps, sizes=sizes), sizes.output_bound[0])


def per_pixel_labels(
    class_maps: Float[Array, "k h w"], *, sizes: ImageSizes, rows_per_band: int | None = None
) -> Int[Array, "H W"]:
    """The argmax of `per_pixel_inference`, computed in bands of rows; see `semantic_labels`."""
    labels = per_pixel_scores(class_maps, sizes=sizes, read=best_class)
    return join_rows(labels, sizes, channels=len(class_maps), rows_per_band=rows_per_band)


def per_pixel_scores(
    class_maps: Float[Array, "k h w"], *, sizes: ImageSizes, read: ReadColumns | None = None
) -> RowFunction:
    """The rows of `per_pixel_inference`'s scores, or what `read` makes of them."""
    # Up to 3 rows or columns more than the padded input has are cropped off with the padding.
    height, width = (
        class_maps.shape[-2:] if sizes.bounds is None else logits_size(class_maps, sizes)
    )
    enlarged = sizes._replace(padded_size=(4 * height, 4 * width))
    if sizes.bounds is not None:
        bound = (4 * class_maps.shape[-2], 4 * class_maps.shape[-1])
        enlarged = enlarged._replace(bounds=sizes.bounds._replace(padded_size=bound))
    return output_masks(class_maps, enlarged, read=read)
