"""Which query claims a pixel: the start of the paper's general inference (section 3.4)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


class Claims(NamedTuple):
    """What the queries of an image say they are."""

    score: Array  # at least float32 [Q], of the most likely class, no-object among them
    label: Array  # int32 [Q], that class, 0..K-1, or K for no-object
    kept: Array  # bool [Q], whether the query takes part

    def winner(self, masks: Float[Array, "q h w"]) -> Int[Array, "h w"]:
        """The query with the largest product of class and mask probability at every pixel.

        Means nothing where none is kept.
        """
        claims = jnp.where(self.kept[:, None, None], self.score[:, None, None] * masks, -1)
        return jnp.argmax(claims, axis=0).astype(jnp.int32)


def claim(
    class_logits: Float[Array, "q classes"], *, threshold: float | Float[Array, ""]
) -> Claims:
    """Keep the queries that say no no-object and whose class probability is above a threshold."""
    probabilities = jax.nn.softmax(class_logits, axis=-1)
    score, label = probabilities.max(axis=-1), probabilities.argmax(axis=-1).astype(jnp.int32)
    kept = (label < class_logits.shape[1] - 1) & (score > threshold)
    return Claims(score, label, kept)
