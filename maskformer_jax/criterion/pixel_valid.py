"""The pixels that mask costs and losses compare: all, or without padding or void.

In the published system padding and void count as outside of every mask. `loss.ignore_padding` and
`loss.ignore_void` leave them out; the result is a bool map `pixel_valid`, or None for all pixels.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from maskformer_jax.criterion.masks import DisjointMasks, Masks
from maskformer_jax.criterion.pixel_lookup import (
    nearest_grid,
    pixels_of_points,
    take_grid,
    take_pixels,
)
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size


def find_valid_pixels(
    masks: Masks, inside: Bool[Array, "b H W"], *, ignore_padding: bool, ignore_void: bool
) -> Bool[Array, "b H W"]:
    """The pixels to compare, at the size of the masks.

    Args:
        masks: pixels outside of all of them are void.
        inside: True in the image, False in the padding, that of the batch and that of the model.
        ignore_padding: leave out the padding.
        ignore_void: leave out void inside the image.

    Raises:
        UserError: void is to be ignored, but is unknown because segments may overlap.
    """
    pixel_valid = inside if ignore_padding else jnp.ones_like(inside)
    if not ignore_void:
        return pixel_valid
    if not isinstance(masks, DisjointMasks):
        raise UserError(
            "config.loss.ignore_void is True, but must be False where segments may overlap "
            "(their masks do not tell which pixels are void)"
        )
    return pixel_valid & ((masks.segment_map >= 0) | ~inside)


def valid_at_size(
    pixel_valid: Bool[Array, "b H W"] | None, size: Size
) -> Bool[Array, "b h w"] | None:
    """`pixel_valid` resized as the masks are."""
    if pixel_valid is None:
        return None
    height, width = pixel_valid.shape[1:]
    return take_grid(pixel_valid, *nearest_grid((height, width), size))


def valid_at_points(
    pixel_valid: Bool[Array, "b H W"] | None, points: Float[Array, "b p 2"]
) -> Bool[Array, "b p"] | None:
    """`pixel_valid` at the pixels that points lie in."""
    if pixel_valid is None:
        return None
    height, width = pixel_valid.shape[1:]
    return take_pixels(pixel_valid, *pixels_of_points(points, (height, width)))
