"""Checks of the images that a model is given; shapes and dtypes cost nothing inside of jit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_images(images: Any, image_valid: Any) -> None:
    """Check a batch of images.

    Values are looked at only where they are at hand, not inside of jit.

    Raises:
        ValueError: it is no batch of RGB images in 0..255, or the mask has another size; says what
            it is and what would be right.
    """
    shape, dtype = jnp.shape(images), jnp.result_type(images)
    if len(shape) != 4 or shape[-1] != 3:
        hint = "; add an axis for the batch, images[None]" if len(shape) == 3 else ""
        if shape and shape[-1] in (1, 4):
            hint = "; repeat grey images over three channels, and drop alpha"
        elif len(shape) == 4 and shape[1] == 3:
            hint = "; channels come last here"
        raise ValueError(
            f"images should be RGB, [B, H, W, 3], but have the shape {list(shape)}{hint}"
        )
    if dtype != jnp.uint8 and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"images should be uint8 or floating point in 0..255, but are {dtype}")
    if jnp.issubdtype(dtype, jnp.floating) and not isinstance(images, jax.core.Tracer):
        values = np.asarray(images)
        highest = float(values.max(initial=0))
        # Nearly black images of tests and padding are below 1 too, but not in all of a batch and
        # with most of the range used.
        if 0.5 < highest <= 1 and float(values.min(initial=0)) >= 0:
            raise ValueError(
                f"images should be in 0..255, but are in {values.min():.3g}..{highest:.3g}; "
                "multiply those in 0..1 by 255, the model normalises itself"
            )
    if image_valid is not None and jnp.shape(image_valid) != shape[:3]:
        raise ValueError(
            f"image_valid should have the shape [B, H, W] of the images, {list(shape[:3])}, but "
            f"has {list(jnp.shape(image_valid))}"
        )
