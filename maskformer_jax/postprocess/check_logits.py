"""Checks of the shapes that inference is given; they cost nothing inside of jit."""

from typing import Any

import jax.numpy as jnp


def check_logits(class_logits: Any, mask_logits: Any, is_thing: Any = None) -> None:
    """Check the logits of one image and one decoder layer.

    Raises:
        ValueError: they are not [Q, K+1] and [Q, h, w] with the same Q, or `is_thing` is not [K].
    """
    classes, masks = jnp.shape(class_logits), jnp.shape(mask_logits)
    if len(classes) != 2 or len(masks) != 3 or classes[0] != masks[0]:
        raise ValueError(
            "class_logits and mask_logits should be [Q, K+1] and [Q, h, w], of one image and one "
            f"decoder layer, but have the shapes {list(classes)} and {list(masks)}; take "
            "predictions.class_logits[-1, image], and jax.vmap for a batch"
        )
    if is_thing is not None and jnp.shape(is_thing) != (classes[1] - 1,):
        raise ValueError(
            f"is_thing should have one entry for each of the {classes[1] - 1} classes "
            f"(class_logits has one more, no-object), but has the shape {list(jnp.shape(is_thing))}"
        )
