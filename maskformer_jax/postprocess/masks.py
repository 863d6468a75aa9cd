"""Mask logits at the size of the input and of the output, a few rows at a time."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.resized_rows import Resize, resized, resized_within
from maskformer_jax.postprocess.row_bands import ReadColumns, RowFunction, cut_columns, rows_of
from maskformer_jax.precision import at_least_float32_dtype


def input_masks(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> RowFunction:
    """Mask logits resized to the padded input and cropped to the image, at least float32.

    Rows below the image remain available, but are never requested. Without bounds, columns are
    cropped; with bounds, those to the right of the image remain and are never read.
    """
    bounds = sizes.bounds
    if bounds is not None:
        maps = rows_of(_finite_masks(mask_logits, sizes))
        return resized_within(maps, [_enlargement(mask_logits, sizes)], work=bounds.work)
    masks = mask_logits.astype(at_least_float32_dtype(mask_logits.dtype))
    height, width = masks.shape[1:]
    padded = resized(rows_of(masks), from_size=(height, width), to_size=sizes.padded_size)
    return cut_columns(padded, sizes.image_size[1])


def output_masks(
    mask_logits: Float[Array, "q h w"], sizes: ImageSizes, *, read: ReadColumns | None = None
) -> RowFunction:
    """Mask logits at the output's size: `input_masks`, resized again, at least float32.

    With bounds both resizes are one.
    """
    bounds = sizes.bounds
    if bounds is None:
        return to_output(input_masks(mask_logits, sizes), sizes, read=read)
    maps = rows_of(_finite_masks(mask_logits, sizes))
    resizes = [_enlargement(mask_logits, sizes), _resize_to_output(sizes)]
    return resized_within(maps, resizes, work=bounds.work, read=read)


def to_output(
    source: RowFunction, sizes: ImageSizes, *, read: ReadColumns | None = None
) -> RowFunction:
    """Maps of the image's size, resized to the output's, or what `read` makes of them."""
    bounds = sizes.bounds
    if bounds is None:
        maps = resized(source, from_size=sizes.image_size, to_size=sizes.output_size)
        return maps if read is None else lambda rows: read(maps(rows))
    return resized_within(source, [_resize_to_output(sizes)], work=bounds.work, read=read)


def logits_size(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> tuple[Array, Array]:
    """The part of the mask logits that belongs to the padded image, where sizes are data."""
    stride = _stride(mask_logits, sizes)
    height, width = sizes.padded_size
    return -(-height // stride), -(-width // stride)


def _stride(mask_logits: Array, sizes: ImageSizes) -> int:
    assert sizes.bounds is not None
    return -(-sizes.bounds.padded_size[0] // mask_logits.shape[1])


def _finite_masks(mask_logits: Array, sizes: ImageSizes) -> Float[Array, "q h w"]:
    """The mask logits, zero outside of the image: what a product multiplies by zero is no nan."""
    masks = mask_logits.astype(at_least_float32_dtype(mask_logits.dtype))
    height, width = (
        jnp.arange(most) < size
        for most, size in zip(masks.shape[1:], logits_size(masks, sizes), strict=True)
    )
    is_image = height[:, None] & width[None]
    return jnp.where(is_image[None], masks, jnp.zeros((), masks.dtype))


def _enlargement(mask_logits: Float[Array, "q h w"], sizes: ImageSizes) -> Resize:
    """From mask logits to the padded input, where sizes are data."""
    assert sizes.bounds is not None
    height, width = mask_logits.shape[1:]
    return Resize(
        from_size=logits_size(mask_logits, sizes),
        to_size=sizes.padded_size,
        from_bound=(height, width),
        to_bound=sizes.bounds.padded_size,
        shrinkage=1 / _stride(mask_logits, sizes),
    )


def _resize_to_output(sizes: ImageSizes) -> Resize:
    """From the image to the output, where sizes are data."""
    assert sizes.bounds is not None
    return Resize(
        from_size=sizes.image_size,
        to_size=sizes.output_size,
        from_bound=sizes.bounds.padded_size,
        to_bound=sizes.bounds.output_size,
        shrinkage=sizes.bounds.shrinkage,
    )
