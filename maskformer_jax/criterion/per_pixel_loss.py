"""The loss of the per-pixel baselines: cross-entropy of every labelled pixel."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.criterion.ground_truth import GroundTruth
from maskformer_jax.criterion.masks import DisjointMasks
from maskformer_jax.errors import UserError
from maskformer_jax.losses import pixel_cross_entropy
from maskformer_jax.resize import resize_bilinear


def compute_per_pixel_loss(
    class_maps: Float[Array, "l b k h w"], truth: GroundTruth, normalizers: Float[Array, " b"]
) -> Float[Array, " l"]:
    """Cross-entropy of each decoder layer, on class maps enlarged four times.

    Args:
        class_maps: logits of the K classes at a quarter of the padded size.
        truth: the segments; void pixels have no loss.
        normalizers: divide the sum over the pixels of each image.

    Raises:
        UserError: segments may overlap, so pixels do not have one class.
    """
    if not isinstance(truth.masks, DisjointMasks):
        raise UserError("the per-pixel baselines cannot be trained on segments that may overlap")
    label_map = make_label_map(truth.masks.segment_map, truth.labels)
    height, width = label_map.shape[1:]

    @jax.checkpoint  # K maps at full size are large: keep those of one layer, and only for a moment
    def one_layer(maps: Array) -> Array:
        enlarged = resize_bilinear(maps, (4 * maps.shape[-2], 4 * maps.shape[-1]))
        losses = pixel_cross_entropy(enlarged[..., :height, :width], label_map)
        return (losses.sum((1, 2)) / normalizers).sum()

    return jax.lax.map(one_layer, class_maps)


def make_label_map(
    segment_map: Int[Array, "b h w"], labels: Int[Array, "b n"]
) -> Int[Array, "b h w"]:
    """The class of every pixel, -1 for void."""
    label = jax.vmap(lambda row, index: row[index])(labels, jnp.maximum(segment_map, 0))
    return jnp.where(segment_map >= 0, label, -1)
