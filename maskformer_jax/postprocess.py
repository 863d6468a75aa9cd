"""From predictions to segmentations (paper section 3.4, arXiv 2107.06278)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from maskformer_jax.resize import Size, resize_bilinear


def semantic_inference(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    padded_size: Size,
    image_size: Size,
    output_size: Size,
    resize_before_inference: bool = False,
) -> Float[Array, "k H W"]:
    """Score every class at every pixel: the sum over queries of class times mask probability.

    The no-object probability is dropped without renormalising, so scores are no probabilities.
    The label of a pixel is its argmax.

    As published, two bilinear resizes follow one another: mask logits to the size of the padded
    input, then, with the padding cut off, to the output. Sigmoid and sum come between them.

    Args:
        class_logits: of one image and the last decoder layer, no-object last.
        mask_logits: before the sigmoid, covering the padded input.
        padded_size: of the input after padding.
        image_size: of the input before padding.
        output_size: usually that of the original image.
        resize_before_inference: sigmoid and sum come after the second resize instead, as in the
            panoptic models.

    Returns:
        Scores of the K classes at `output_size`, at least float32.
    """
    dtype = jnp.promote_types(mask_logits.dtype, jnp.float32)
    height, width = image_size
    masks = resize_bilinear(mask_logits.astype(dtype), padded_size)[:, :height, :width]
    if resize_before_inference:
        masks = resize_bilinear(masks, output_size)
    probabilities = jax.nn.softmax(class_logits.astype(dtype), axis=-1)[:, :-1]
    scores = jnp.einsum(
        "qk,qhw->khw", probabilities, jax.nn.sigmoid(masks), precision=jax.lax.Precision.HIGHEST
    )
    return scores if resize_before_inference else resize_bilinear(scores, output_size)


def per_pixel_inference(
    class_maps: Float[Array, "k h w"], *, image_size: Size, output_size: Size
) -> Float[Array, "k H W"]:
    """Score every class at every pixel with a per-pixel baseline: its logits, resized.

    Args:
        class_maps: the `mask_logits` of one image and the last layer, a map for each class.
        image_size: of the input before padding.
        output_size: usually that of the original image.

    Returns:
        Logits of the K classes at `output_size`, at least float32.
    """
    dtype = jnp.promote_types(class_maps.dtype, jnp.float32)
    (height, width), (small_height, small_width) = image_size, class_maps.shape[-2:]
    # Four times, whatever the image's size: a rest of up to 3 pixels is cut off with the padding.
    maps = resize_bilinear(class_maps.astype(dtype), (4 * small_height, 4 * small_width))
    return resize_bilinear(maps[:, :height, :width], output_size)
