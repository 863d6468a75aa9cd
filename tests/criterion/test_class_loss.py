"""The classification loss of matched and unmatched queries, worked out by hand."""

import jax.numpy as jnp
import numpy as np

from maskformer_jax.criterion.class_loss import compute_class_loss


def test_targets_and_weights() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 2, 4, 3)).astype(np.float32)  # K = 2
    assignment = jnp.array([[[2, 0, -1], [-1, 3, -1]], [[-1, -1, 1], [-1, -1, -1]]])  # [b, l, n]
    labels = jnp.array([[1, 0, 0], [0, 0, 1]])
    none = 2
    targets = np.array([[[0, none, 1, none], [none, 1, none, none]], [[none, none, none, 0]] * 2])
    targets[1, 1] = none
    ours = compute_class_loss(
        jnp.asarray(logits),
        assignment,
        labels,
        jnp.array([2.0, 5.0]),
        num_classes=2,
        no_object_weight=0.25,
    )
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.zeros(2)
    for layer, image, query in np.ndindex(2, 2, 4):
        target = targets[layer, image, query]
        weight = (0.25 if target == none else 1.0) / (2.0, 5.0)[image]
        expected[layer] -= weight * log_probabilities[layer, image, query, target]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
