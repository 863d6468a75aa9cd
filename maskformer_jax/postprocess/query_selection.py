"""Selecting confident queries and assigning pixels to them (paper section 3.4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.largest import index_of_largest


class SelectedQueries(NamedTuple):
    """The most likely class of each query, and which queries take part in inference."""

    score: Array  # at least float32 [Q], probability of the most likely class or of no-object
    label: Array  # int32 [Q], that class, 0..K-1, or K for no-object
    selected: Array  # bool [Q]

    def assign_pixels(self, masks: Float[Array, "q h w"]) -> Int[Array, "h w"]:
        """Index of the selected query with the largest class times mask probability per pixel.

        The first of equal ones; meaningless if no query is selected.

        Args:
            masks: mask probabilities, 0..1.
        """
        products = jnp.where(self.selected[:, None, None], self.score[:, None, None] * masks, -1)
        return index_of_largest(products)


def select_queries(
    class_logits: Float[Array, "q classes"], *, threshold: float | Float[Array, ""]
) -> SelectedQueries:
    """Select the queries whose most likely class is not no-object and scores above `threshold`.

    Args:
        class_logits: of one image and one decoder layer, no-object last.
        threshold: class probability, 0..1, that a selected query exceeds.
    """
    probabilities = jax.nn.softmax(class_logits, axis=-1)
    score, label = probabilities.max(axis=-1), probabilities.argmax(axis=-1).astype(jnp.int32)
    selected = (label < class_logits.shape[1] - 1) & (score > threshold)
    return SelectedQueries(score, label, selected)
