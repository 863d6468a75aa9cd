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
) -> Float[Array, ""]:
    """Cross-entropy averaged with the weight of each target class: sum(w * nll) / sum(w).

    Zero where every weight is zero.
    """
    log_probabilities = jax.nn.log_softmax(class_logits, axis=-1)
    nll = -jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]
    weights = class_weights[labels]
    tiny = jnp.finfo(weights.dtype).tiny
    return (weights * nll).sum() / jnp.maximum(weights.sum(), tiny)


def pixel_cross_entropy(
    class_maps: Float[Array, "b k h w"], label_map: Int[Array, "b h w"]
) -> Float[Array, ""]:
    """Cross-entropy of the per-pixel baselines, averaged over the labelled pixels of the batch.

    Pixels with a label below 0 are void. Zero where all are.
    """
    valid = label_map >= 0
    label = jnp.maximum(label_map, 0)[:, None]
    chosen = jnp.take_along_axis(class_maps, label, axis=1)[:, 0]
    nll = jax.nn.logsumexp(class_maps, axis=1) - chosen
    count = jnp.maximum(valid.sum(), 1).astype(nll.dtype)
    return jnp.where(valid, nll, 0).sum() / count


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
    mask_logits: Float[Array, "*n h w"], masks: Bool[Array, "*m h w"]
) -> Float[Array, "..."]:
    """Dice loss of each mask: 1 - (2 * intersection + 1) / (predicted area + true area + 1).

    `masks` has the rank of `mask_logits` and broadcasts against it.
    """
    probabilities = jax.nn.sigmoid(mask_logits)
    intersection = jnp.where(masks, probabilities, 0).sum((-2, -1))
    areas = probabilities.sum((-2, -1)) + masks.sum((-2, -1), dtype=probabilities.dtype)
    return dice_from_sums(intersection, areas)


def dice_from_sums(
    intersection: Float[Array, "..."], areas: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Dice loss from the soft intersection and the sum of both areas, in pixels."""
    return 1 - (2 * intersection + DICE_SMOOTH) / (areas + DICE_SMOOTH)
