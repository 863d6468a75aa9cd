"""The three losses as pure functions of logits and targets (paper section 3.2, arXiv 2107.06278).

All of them are computed from logits in a form that stays finite, with finite gradients, at any
finite logit. Matching and training share them. `optax.losses` has the same focal and dice losses
and the tests compare with it; its focal loss goes through a logsumexp per pixel and its dice loss
wants a class axis, which costs too much on full-size masks.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

FOCAL_ALPHA = 0.25  # weight of mask pixels; the others weigh 1 - alpha
FOCAL_GAMMA = 2
DICE_SMOOTH = 1.0


def weighted_cross_entropy(
    class_logits: Float[Array, "*n k"],
    labels: Int[Array, "*n"],
    *,
    class_weights: Float[Array, " k"],
) -> Float[Array, "*n"]:
    """Cross-entropy of each item times the weight of its target class."""
    return class_weights[labels] * _negative_log_likelihood(class_logits, labels, axis=-1)


def pixel_cross_entropy(
    class_maps: Float[Array, "b k h w"], label_map: Int[Array, "b h w"]
) -> Float[Array, "b h w"]:
    """Cross-entropy of each pixel for the per-pixel baselines; 0 where the label is below 0."""
    nll = _negative_log_likelihood(class_maps, jnp.maximum(label_map, 0), axis=1)
    return jnp.where(label_map >= 0, nll, 0)


def sigmoid_focal_loss(
    mask_logits: Float[Array, "..."],
    masks: Bool[Array, "..."],
    *,
    alpha: float = FOCAL_ALPHA,
    gamma: int = FOCAL_GAMMA,
) -> Float[Array, "..."]:
    """Focal loss of each pixel: a_t * (1 - p_t)^gamma * -log(p_t) (Lin et al., arXiv 1708.02002).

    p_t is the probability given to the true side, a_t is alpha inside the mask and 1 - alpha
    outside. `masks` has the rank of `mask_logits` and broadcasts against it.
    """
    wrong = jnp.where(masks, -mask_logits, mask_logits)  # the logit of the false side
    weights = jnp.where(masks, jnp.asarray(alpha, wrong.dtype), jnp.asarray(1 - alpha, wrong.dtype))
    return weights * jax.nn.sigmoid(wrong) ** gamma * jax.nn.softplus(wrong)


def dice_loss(
    mask_logits: Float[Array, "*n h w"],
    masks: Bool[Array, "*m h w"],
    *,
    counted: Bool[Array, "*m h w"] | None = None,
) -> Float[Array, "..."]:
    """Dice loss of each mask: 1 - (2 * intersection + 1) / (predicted area + true area + 1).

    `masks` has the rank of `mask_logits` and broadcasts against it; so does `counted`, the pixels
    that are looked at (None: all), outside of which there may be no masks.
    """
    probabilities = jax.nn.sigmoid(mask_logits)
    if counted is not None:
        probabilities = jnp.where(counted, probabilities, 0)
    intersection = jnp.where(masks, probabilities, 0).sum((-2, -1))
    areas = probabilities.sum((-2, -1)) + masks.sum((-2, -1), dtype=probabilities.dtype)
    return dice_from_sums(intersection, areas)


def dice_from_sums(
    intersection: Float[Array, "..."], areas: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Dice loss from the soft intersection and the sum of both areas, in pixels."""
    return 1 - (2 * intersection + DICE_SMOOTH) / (areas + DICE_SMOOTH)


def _negative_log_likelihood(logits: Array, labels: Array, *, axis: int) -> Array:
    chosen = jnp.take_along_axis(logits, jnp.expand_dims(labels, axis), axis=axis)
    return jax.nn.logsumexp(logits, axis=axis) - chosen.squeeze(axis)
