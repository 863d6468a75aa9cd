"""Images of different sizes in one batch of a static size: each has its extent.

Every image stands in the upper left corner; what lies to the right of its extent and below it has
no meaning. A layer with an extent computes inside of it what it would compute on the image alone:
whatever reads neighbouring pixels first puts there what its own padding would have put at the
border. Without an extent (None) the image fills the whole batch.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Shaped

# (height, width) of each image in cells of the map at hand; None: all of the map.
Extent = Int[Array, "b 2"] | None


def at_stride(extent: Extent, stride: int) -> Extent:
    """The extent in a map that is `stride` times coarser; sizes round up."""
    return None if extent is None else -(-extent // stride)


def padded_extent(extent: Extent, multiple: int) -> Extent:
    """The extent after padding to a multiple in both directions; multiple 0: as it is."""
    if extent is None or not multiple:
        return extent
    return multiple * -(-extent // multiple)


def inside(extent: Int[Array, "b 2"], *, height: int, width: int) -> Bool[Array, "b h w"]:
    """True inside of each image, in maps of this size."""
    row, column = (jnp.arange(length, dtype=extent.dtype)[None] for length in (height, width))
    return (row < extent[:, :1])[:, :, None] & (column < extent[:, 1:])[:, None]


def clear_outside(
    x: Shaped[Array, "b h w c"], extent: Extent, *, value: float = 0.0
) -> Shaped[Array, "b h w c"]:
    """Replace everything outside of the images by the value that the layer pads with."""
    if extent is None:
        return x
    is_image = inside(extent, height=x.shape[1], width=x.shape[2])
    return jnp.where(is_image[..., None], x, jnp.asarray(value, x.dtype))
