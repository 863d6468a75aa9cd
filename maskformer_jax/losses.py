"""Cross-entropy, focal and dice loss as pure functions (paper section 3.2, arXiv 2107.06278).

They take logits and are written such that values and gradients are finite at any finite logit.
Matching and training share them. `optax.losses` has the same focal and dice losses, and the tests
compare with it; its focal loss takes a logsumexp per pixel and its dice loss needs a class axis,
both too expensive on full-size masks.
"""

from typing import NamedTuple

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
    terms = sigmoid_terms(mask_logits)
    inside = focal_of_side(terms.outside, terms.nll_inside, weight=alpha, gamma=gamma)
    outside = focal_of_side(terms.inside, terms.nll_outside, weight=1 - alpha, gamma=gamma)
    return jnp.where(masks, inside, outside)


def focal_of_side(
    miss: Float[Array, "..."], nll: Float[Array, "..."], *, weight: float, gamma: int = FOCAL_GAMMA
) -> Float[Array, "..."]:
    """Focal loss of pixels that are all on one side of the mask.

    Args:
        miss: probability predicted for the other side, 1 - p_t.
        nll: minus the logarithm of p_t.
        weight: a_t of this side.
        gamma: the exponent of `miss`.
    """
    return weight * miss**gamma * nll


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
    probabilities = sigmoid_terms(mask_logits).inside
    if pixel_valid is not None:
        probabilities = jnp.where(pixel_valid, probabilities, 0)
    intersection = jnp.where(masks, probabilities, 0).sum((-2, -1))
    areas = probabilities.sum((-2, -1)) + masks.sum((-2, -1), dtype=probabilities.dtype)
    return dice_from_sums(intersection, areas)


def focal_and_dice_loss(
    mask_logits: Float[Array, "*n h w"],
    masks: Bool[Array, "*m h w"],
    *,
    pixel_valid: Bool[Array, "*m h w"] | None = None,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """The mean over pixels of `sigmoid_focal_loss`, and `dice_loss`, for less than both cost.

    Args:
        mask_logits: before the sigmoid.
        masks: of the rank of `mask_logits`, broadcast against it.
        pixel_valid: the pixels to compare, likewise; all masks must lie within. None: all pixels.
            The focal loss is 0 where there are none.
    """
    focal = sigmoid_focal_loss(mask_logits, masks)
    if pixel_valid is None:
        focal = focal.mean((-2, -1))
    else:
        pixels = jnp.maximum(pixel_valid.sum((-2, -1)), 1).astype(focal.dtype)
        focal = jnp.where(pixel_valid, focal, 0).sum((-2, -1)) / pixels
    # The compiler merges the two calls of `sigmoid_terms`.
    return focal, dice_loss(mask_logits, masks, pixel_valid=pixel_valid)


def dice_from_sums(
    intersection: Float[Array, "..."], areas: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Dice loss from the soft intersection and the sum of the two areas, in pixels."""
    return 1 - (2 * intersection + DICE_SMOOTH) / (areas + DICE_SMOOTH)


class SigmoidTerms(NamedTuple):
    """Probabilities of the two sides of a mask, and minus their logarithms."""

    inside: Float[Array, "..."]  # sigmoid(x)
    outside: Float[Array, "..."]  # sigmoid(-x)
    nll_inside: Float[Array, "..."]  # softplus(-x)
    nll_outside: Float[Array, "..."]  # softplus(x)


@jax.custom_jvp
def sigmoid_terms(mask_logits: Float[Array, "..."]) -> SigmoidTerms:
    """All four from few exponentials and one logarithm, which is what masks cost most.

    Each is as precise as if it were computed alone, at any logit, and so is its derivative.
    """
    small = jnp.exp(-jnp.abs(mask_logits))
    larger, log_sum = 1 / (1 + small), jnp.log1p(small)

    inside, outside = jax.lax.platform_dependent(
        mask_logits,
        small,
        larger,
        tpu=lambda x, _, larger: sides_by_exponentials(x, larger),
        default=sides_by_sign,
    )
    return SigmoidTerms(
        inside=inside,
        outside=outside,
        nll_inside=jnp.maximum(-mask_logits, 0) + log_sum,
        nll_outside=jnp.maximum(mask_logits, 0) + log_sum,
    )


def sides_by_sign(
    x: Float[Array, "..."], small: Float[Array, "..."], larger: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """sigmoid(x) and sigmoid(-x), from exp(-|x|) and the larger of the two."""
    smaller, positive = small * larger, x >= 0
    return jnp.where(positive, larger, smaller), jnp.where(positive, smaller, larger)


def sides_by_exponentials(
    x: Float[Array, "..."], larger: Float[Array, "..."]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """`sides_by_sign` for a TPU, the same numbers.

    There XLA would pack the signs for the gradient and unpack them again, which takes longer than
    two exponentials.
    """
    return jnp.exp(jnp.minimum(x, 0)) * larger, jnp.exp(jnp.minimum(-x, 0)) * larger


@sigmoid_terms.defjvp
def _sigmoid_terms_jvp(
    primals: tuple[Array], tangents: tuple[Array]
) -> tuple[SigmoidTerms, SigmoidTerms]:
    (mask_logits,), (tangent,) = primals, tangents
    terms = sigmoid_terms(mask_logits)
    slope = tangent * terms.inside * terms.outside
    return terms, SigmoidTerms(slope, -slope, -tangent * terms.outside, tangent * terms.inside)


def _negative_log_likelihood(logits: Array, labels: Array, *, axis: int) -> Array:
    chosen = jnp.take_along_axis(logits, jnp.expand_dims(labels, axis), axis=axis)
    return jax.nn.logsumexp(logits, axis=axis) - chosen.squeeze(axis)
