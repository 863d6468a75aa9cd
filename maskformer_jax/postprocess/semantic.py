"""Semantic inference: scores of all classes, or only the best class, at every pixel."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.rows import (
    RowFunction,
    all_rows,
    cut_columns,
    join_bands,
    map_bands,
    resized,
    rows_of,
)
from maskformer_jax.resize import Size


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
    scores = semantic_scores(
        class_logits,
        mask_logits,
        padded_size=padded_size,
        image_size=image_size,
        output_size=output_size,
        resize_before_inference=resize_before_inference,
    )
    return all_rows(scores, output_size[0])


def semantic_labels(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    padded_size: Size,
    image_size: Size,
    output_size: Size,
    resize_before_inference: bool = False,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """The argmax of `semantic_inference`, computed in bands of rows.

    Neither K nor Q maps of the output's size ever exist, so images may be large and classes many.

    Args:
        class_logits: this and the others as for `semantic_inference`.
        mask_logits: likewise.
        padded_size: likewise.
        image_size: likewise.
        output_size: likewise.
        resize_before_inference: likewise.
        rows_per_band: output rows that are computed at once; by default as memory suggests.

    Returns:
        Labels 0..K-1, int32; the first of equal scores.
    """
    scores = semantic_scores(
        class_logits,
        mask_logits,
        padded_size=padded_size,
        image_size=image_size,
        output_size=output_size,
        resize_before_inference=resize_before_inference,
    )
    channels = max(class_logits.shape[1] - 1, len(mask_logits))
    return labels_of(scores, output_size, channels=channels, rows_per_band=rows_per_band)


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
    scores = per_pixel_scores(class_maps, image_size=image_size, output_size=output_size)
    return all_rows(scores, output_size[0])


def per_pixel_labels(
    class_maps: Float[Array, "k h w"],
    *,
    image_size: Size,
    output_size: Size,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """The argmax of `per_pixel_inference`, computed in bands of rows; see `semantic_labels`."""
    scores = per_pixel_scores(class_maps, image_size=image_size, output_size=output_size)
    return labels_of(scores, output_size, channels=len(class_maps), rows_per_band=rows_per_band)


def output_masks(
    mask_logits: Float[Array, "q h w"], *, padded_size: Size, image_size: Size, output_size: Size
) -> RowFunction:
    """Mask logits at the output's size by way of the padded input's, at least float32."""
    source = cut_columns(_input_masks(mask_logits, padded_size), image_size[1])
    return resized(source, from_size=image_size, to_size=output_size)


def _input_masks(mask_logits: Float[Array, "q h w"], padded_size: Size) -> RowFunction:
    masks = mask_logits.astype(jnp.promote_types(mask_logits.dtype, jnp.float32))
    height, width = masks.shape[1:]
    return resized(rows_of(masks), from_size=(height, width), to_size=padded_size)


def semantic_scores(
    class_logits: Float[Array, "q classes"],
    mask_logits: Float[Array, "q h w"],
    *,
    padded_size: Size,
    image_size: Size,
    output_size: Size,
    resize_before_inference: bool,
) -> RowFunction:
    """The rows of `semantic_inference`'s scores."""
    dtype = jnp.promote_types(mask_logits.dtype, jnp.float32)
    probabilities = jax.nn.softmax(class_logits.astype(dtype), axis=-1)[:, :-1]
    masks = cut_columns(_input_masks(mask_logits, padded_size), image_size[1])
    if resize_before_inference:
        masks = resized(masks, from_size=image_size, to_size=output_size)

    def scores(rows: Int[Array, " n"]) -> Float[Array, "k n w"]:
        return jnp.einsum(
            "qk,qhw->khw",
            probabilities,
            jax.nn.sigmoid(masks(rows)),
            precision=jax.lax.Precision.HIGHEST,
        )

    if resize_before_inference:
        return scores
    return resized(scores, from_size=image_size, to_size=output_size)


def per_pixel_scores(
    class_maps: Float[Array, "k h w"], *, image_size: Size, output_size: Size
) -> RowFunction:
    """The rows of `per_pixel_inference`'s scores."""
    # Four times, whatever the image's size: a rest of up to 3 pixels is cut off with the padding.
    height, width = class_maps.shape[-2:]
    return output_masks(
        class_maps,
        padded_size=(4 * height, 4 * width),
        image_size=image_size,
        output_size=output_size,
    )


def labels_of(
    scores: RowFunction, output_size: Size, *, channels: int, rows_per_band: int | None
) -> Int[Array, "H W"]:
    """The best class at every pixel, band by band; `channels` maps exist at once."""
    bands = map_bands(
        lambda rows, _: jnp.argmax(scores(rows), axis=0).astype(jnp.int32),
        output_size=output_size,
        channels=channels,
        rows_per_band=rows_per_band,
    )
    return join_bands(bands, output_size[0])
