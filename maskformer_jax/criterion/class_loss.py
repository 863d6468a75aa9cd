"""Classification loss of matched and unmatched queries (paper section 3.2)."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.losses import weighted_cross_entropy


def compute_class_loss(
    class_logits: Float[Array, "l b q classes"],
    assignment: Int[Array, "b l n"],
    labels: Int[Array, "b n"],
    normalizers: Float[Array, " b"],
    *,
    num_classes: int,
    no_object_weight: float,
) -> Float[Array, " l"]:
    """Weighted cross-entropy of each decoder layer.

    The target of a matched query is the label of its segment, that of all others is no-object.

    Args:
        class_logits: of all decoder layers, no-object last.
        assignment: the query of each segment, -1 for none.
        labels: class of each segment, 0..K-1.
        normalizers: divide the sum over the queries of each image.
        num_classes: K, the label of no-object.
        no_object_weight: of the no-object class; the others weigh 1.
    """
    queries = jnp.arange(class_logits.shape[2])
    matches = jnp.swapaxes(assignment, 0, 1)[:, :, None, :] == queries[None, None, :, None]
    label = jnp.where(matches, labels[None, :, None, :], 0).sum(-1)
    targets = jnp.where(matches.any(-1), label, num_classes)
    weights = jnp.ones(num_classes + 1, class_logits.dtype).at[num_classes].set(no_object_weight)
    losses = weighted_cross_entropy(class_logits, targets, class_weights=weights)
    return (losses.sum(2) / normalizers[None]).sum(1)
