"""Test-time augmentation: the mean of the scores that several views of an image give.

As published, each view runs alone through network and semantic inference to the size of the output;
mirrored ones are mirrored back there. The means are taken before the argmax, of the un-normalised
class sums for MaskFormer and of raw logits for the per-pixel baselines.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.rows import RowFunction, all_rows
from maskformer_jax.postprocess.semantic import labels_of, per_pixel_scores, semantic_scores
from maskformer_jax.resize import Size


class View(NamedTuple):
    """How a view was made of the image."""

    padded_size: Size  # of the input after padding
    image_size: Size  # of the input before padding
    mirrored: bool


def augmented_inference(
    class_logits: Sequence[Array | None],
    mask_logits: Sequence[Float[Array, "q _h _w"]],
    *,
    views: Sequence[View],
    output_size: Size,
    resize_before_inference: bool = False,
) -> Float[Array, "k H W"]:
    """The mean of the views' scores.

    Args:
        class_logits: of each view, [Q, K+1]; None for a per-pixel baseline.
        mask_logits: of each view, [Q, h, w].
        views: how they were made.
        output_size: usually that of the original image.
        resize_before_inference: as for `semantic_inference`.

    Returns:
        Scores of the K classes at `output_size`, at least float32.
    """
    scores = _mean_scores(class_logits, mask_logits, views, output_size, resize_before_inference)
    return all_rows(scores, output_size[0])


def augmented_labels(
    class_logits: Sequence[Array | None],
    mask_logits: Sequence[Float[Array, "q _h _w"]],
    *,
    views: Sequence[View],
    output_size: Size,
    resize_before_inference: bool = False,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """The argmax of `augmented_inference`, computed in bands of rows; see `semantic_labels`."""
    scores = _mean_scores(class_logits, mask_logits, views, output_size, resize_before_inference)
    classes = class_logits[0]
    num_classes = len(mask_logits[0]) if classes is None else classes.shape[-1] - 1
    channels = max(num_classes, len(mask_logits[0]))
    return labels_of(scores, output_size, channels=channels, rows_per_band=rows_per_band)


def _mean_scores(
    class_logits: Sequence[Array | None],
    mask_logits: Sequence[Array],
    views: Sequence[View],
    output_size: Size,
    resize_before_inference: bool,
) -> RowFunction:
    def of_view(classes: Array | None, masks: Array, view: View) -> RowFunction:
        if classes is None:
            scores = per_pixel_scores(masks, image_size=view.image_size, output_size=output_size)
        else:
            scores = semantic_scores(
                classes,
                masks,
                padded_size=view.padded_size,
                image_size=view.image_size,
                output_size=output_size,
                resize_before_inference=resize_before_inference,
            )
        return (lambda rows: scores(rows)[..., ::-1]) if view.mirrored else scores

    sources = [of_view(*one) for one in zip(class_logits, mask_logits, views, strict=True)]

    def mean(rows: Int[Array, " n"]) -> Float[Array, "k n w"]:
        total = sources[0](rows)
        for source in sources[1:]:
            total = total + source(rows)
        return total / jnp.asarray(len(sources), total.dtype)

    return mean
