"""Mask logits at the size of the input and of the output, a few rows at a time."""

from jax import Array
from jaxtyping import Float

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.row_bands import RowFunction, cut_columns, resized, rows_of
from maskformer_jax.precision import at_least_float32_dtype


def input_masks(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> RowFunction:
    """Mask logits resized to the padded input and cropped to the image, at least float32.

    Only columns are cropped: rows below the image remain available, but are never requested.
    """
    masks = mask_logits.astype(at_least_float32_dtype(mask_logits.dtype))
    height, width = masks.shape[1:]
    padded = resized(rows_of(masks), from_size=(height, width), to_size=sizes.padded_size)
    return cut_columns(padded, sizes.image_size[1])


def output_masks(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> RowFunction:
    """Mask logits at the output's size: `input_masks`, resized again, at least float32."""
    return to_output(input_masks(mask_logits, sizes), sizes)


def to_output(source: RowFunction, sizes: ImageSizes) -> RowFunction:
    """Maps of the image's size, resized to the output's."""
    return resized(source, from_size=sizes.image_size, to_size=sizes.output_size)
