"""Cross-entropy, focal and dice loss as pure functions (paper section 3.2, arXiv 2107.06278).

They take logits and are written such that values and gradients are finite at any finite logit.
Matching and training share them. `optax.losses` has the same focal and dice losses, and the tests
compare with it; its focal loss takes a logsumexp per pixel and its dice loss needs a class axis,
both too expensive on full-size masks.
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
    """Cross-entropy of each item, times the weight of its target class."""
    return class_weights[labels] * _negative_log_likelihood(class_logits, labels, axis=-1)


def pixel_cross_entropy(
    class_maps: Float[Array, "b k h w"], label_map: Int[Array, "b h w"]
) -> Float[Array, "b h w"]:
    """Cross-entropy of each pixel, for the per-pixel baselines; 0 on void (label below 0)."""
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

    p_t is the probability predicted for the true side, inside or outside; a_t is alpha inside the
    mask and 1 - alpha outside. `masks` has the rank of `mask_logits` and broadcasts against it.
    """
    logits = jnp.where(masks, -mask_logits, mask_logits)  # of the false side: sigmoid is 1 - p_t
    weights = jnp.where(
        masks, jnp.asarray(alpha, logits.dtype), jnp.asarray(1 - alpha, logits.dtype)
    )
    return weights * jax.nn.sigmoid(logits) ** gamma * jax.nn.softplus(logits)


def dice_loss(
    mask_logits: Float[Array, "*n h w"],
    masks: Bool[Array, "*m h w"],
    *,
    pixel_valid: Bool[Array, "*m h w"] | None = None,
) -> Float[Array, "..."]:
    """Dice loss of each mask: 1 - (2 * intersection + 1) / (predicted area + true area + 1).

    Areas are sums of probabilities, in pixels.

    Args:
        mask_logits: before the sigmoid.
        masks: of the rank of `mask_logits`, broadcast against it.
        pixel_valid: the pixels to compare, likewise; all masks must lie within. None: all pixels.
    """
    probabilities = jax.nn.sigmoid(mask_logits)
    if pixel_valid is not None:
        probabilities = jnp.where(pixel_valid, probabilities, 0)
    intersection = jnp.where(masks, probabilities, 0).sum((-2, -1))
    areas = probabilities.sum((-2, -1)) + masks.sum((-2, -1), dtype=probabilities.dtype)
    return dice_from_sums(intersection, areas)


def dice_from_sums(
    intersection: Float[Array, "..."], areas: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Dice loss from the soft intersection and the sum of the two areas, in pixels."""
    return 1 - (2 * intersection + DICE_SMOOTH) / (areas + DICE_SMOOTH)


def _negative_log_likelihood(logits: Array, labels: Array, *, axis: int) -> Array:
    chosen = jnp.take_along_axis(logits, jnp.expand_dims(labels, axis), axis=axis)
    return jax.nn.logsumexp(logits, axis=axis) - chosen.squeeze(axis)
