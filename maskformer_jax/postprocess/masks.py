"""Mask logits at the size of the input and of the output, a few rows at a time."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.resized_rows import resized, resized_within
from maskformer_jax.postprocess.row_bands import ReadColumns, RowFunction, cut_columns, rows_of
from maskformer_jax.precision import at_least_float32_dtype


def input_masks(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> RowFunction:
    """Mask logits resized to the padded input and cropped to the image, at least float32.

    Rows below the image remain available, but are never requested. Without bounds, columns are
    cropped; with bounds, those to the right of the image remain and are never read.
    """
    masks = mask_logits.astype(at_least_float32_dtype(mask_logits.dtype))
    height, width = masks.shape[1:]
    bounds = sizes.bounds
    if bounds is None:
        padded = resized(rows_of(masks), from_size=(height, width), to_size=sizes.padded_size)
        return cut_columns(padded, sizes.image_size[1])
    stride = -(-bounds.padded_size[0] // height)
    size = logits_size(mask_logits, sizes)
    is_image = (jnp.arange(height) < size[0])[:, None] & (jnp.arange(width) < size[1])[None]
    # Whatever is there is multiplied by zero, which must not give nan.
    masks = jnp.where(is_image[None], masks, jnp.zeros((), masks.dtype))
    return resized_within(
        rows_of(masks),
        from_size=size,
        to_size=sizes.padded_size,
        from_bound=(height, width),
        to_bound=bounds.padded_size,
        shrinkage=1 / stride,
        work=bounds.work,
    )


def logits_size(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> tuple[Array, Array]:
    """The part of the mask logits that belongs to the padded image, where sizes are data."""
    assert sizes.bounds is not None
    stride = -(-sizes.bounds.padded_size[0] // mask_logits.shape[1])
    height, width = sizes.padded_size
    return -(-height // stride), -(-width // stride)


def output_masks(
    mask_logits: Float[Array, "q h w"], sizes: ImageSizes, *, read: ReadColumns | None = None
) -> RowFunction:
    """Mask logits at the output's size: `input_masks`, resized again, at least float32."""
    return to_output(input_masks(mask_logits, sizes), sizes, read=read)


def to_output(
    source: RowFunction, sizes: ImageSizes, *, read: ReadColumns | None = None
) -> RowFunction:
    """Maps of the image's size, resized to the output's, or what `read` makes of them."""
    bounds = sizes.bounds
    if bounds is None:
        maps = resized(source, from_size=sizes.image_size, to_size=sizes.output_size)
        return maps if read is None else lambda rows: read(maps(rows))
    return resized_within(
        source,
        from_size=sizes.image_size,
        to_size=sizes.output_size,
        from_bound=bounds.padded_size,
        to_bound=bounds.output_size,
        shrinkage=bounds.shrinkage,
        work=bounds.work,
        read=read,
    )
