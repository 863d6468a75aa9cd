"""Preprocessing of images inside the model: normalisation and padding."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from maskformer_jax.models.check_images import check_images
from maskformer_jax.parts.extent import Extent, clear_outside, padded_extent
from maskformer_jax.precision import at_least_float32
from maskformer_jax.resize import pad_bottom_right, padded_size


def preprocess(
    images: UInt8[Array | np.ndarray, "b h w 3"] | Float[Array | np.ndarray, "b h w 3"],
    image_valid: Bool[Array | np.ndarray, "b h w"] | None = None,
    *,
    extent: Extent = None,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    size_divisibility: int,
) -> tuple[Float[Array, "b _ _ 3"], Extent]:
    """Normalise images, then pad them at the bottom and right with zeros.

    Args:
        images: RGB, 0..255.
        image_valid: False where a batch was padded to a common size; None: all is image.
        extent: of each image; None: all of the batch.
        mean: subtracted from the images.
        std: by which the difference is divided.
        size_divisibility: sides are padded to a multiple of it; 0: not at all.

    Returns:
        The padded images, and the extent of each with its padding.

    Raises:
        ValueError: see `check_images`.
    """
    check_images(images, image_valid)
    x = at_least_float32(jnp.asarray(images))
    offset = np.asarray(mean, x.dtype).reshape(1, 1, 1, 3)
    scale = np.asarray(std, x.dtype).reshape(1, 1, 1, 3)
    x = (x - offset) / scale
    if image_valid is not None:
        # After normalisation: padding has the mean colour, as in the published batches.
        x = jnp.where(jnp.asarray(image_valid)[..., None], x, jnp.zeros((), x.dtype))
    x = clear_outside(x, extent)
    height, width = images.shape[1:3]
    x = pad_bottom_right(x, padded_size((height, width), size_divisibility), axes=(1, 2))
    return x, padded_extent(extent, size_divisibility)
