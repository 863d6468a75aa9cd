"""Test-time augmentation: the mean of the scores over several views of an image.

As published, each view passes through the network and semantic inference on its own, to the size
of the output; mirrored views are mirrored back there. The mean is taken before the argmax: over the
unnormalised class sums of MaskFormer, over the raw logits of the per-pixel baselines.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from maskformer_jax.postprocess.image_sizes import ImageSizes
from maskformer_jax.postprocess.per_pixel import per_pixel_scores
from maskformer_jax.postprocess.row_bands import (
    RowFunction,
    all_rows,
    best_class,
    join_rows,
    take,
)
from maskformer_jax.postprocess.semantic import semantic_scores


class View(NamedTuple):
    """How a view was made from the image."""

    sizes: ImageSizes  # of the view; all views of an image have the same output_size
    mirrored: bool  # left to right


def augmented_inference(
    class_logits: Sequence[Array | None],
    mask_logits: Sequence[Float[Array, "q _h _w"]],
    *,
    views: Sequence[View],
    resize_before_inference: bool = False,
) -> Float[Array, "k H W"]:
    """The mean of the views' scores.

    Args:
        class_logits: of each view, [Q, K+1]; None for a per-pixel baseline.
        mask_logits: of each view, [Q, h, w].
        views: how they were made.
        resize_before_inference: as for `semantic_inference`.

    Returns:
        Scores of the K classes at the views' output size, at least float32.

    Raises:
        ValueError: the views have different output sizes.
    """
    scores = _mean_scores(class_logits, mask_logits, views, resize_before_inference)
    return all_rows(scores, _check_output_sizes(views).output_bound[0])


def augmented_labels(
    class_logits: Sequence[Array | None],
    mask_logits: Sequence[Float[Array, "q _h _w"]],
    *,
    views: Sequence[View],
    resize_before_inference: bool = False,
    rows_per_band: int | None = None,
) -> Int[Array, "H W"]:
    """The argmax of `augmented_inference`, computed in bands of rows; see `semantic_labels`."""
    scores = _mean_scores(class_logits, mask_logits, views, resize_before_inference)
    classes = class_logits[0]
    num_classes = len(mask_logits[0]) if classes is None else classes.shape[-1] - 1
    channels = max(num_classes, len(mask_logits[0]))
    return join_rows(
        lambda rows: best_class(scores(rows)),
        _check_output_sizes(views),
        channels=channels,
        rows_per_band=rows_per_band,
    )


def _check_output_sizes(views: Sequence[View]) -> ImageSizes:
    first, *others = {view.sizes.output_bound for view in views}
    if others:
        raise ValueError(f"views of one image have different output sizes: {first}, {others}")
    return views[0].sizes


def mirrored(scores: RowFunction, sizes: ImageSizes) -> RowFunction:
    """Scores at the output's size, mirrored left to right."""
    if sizes.bounds is None:
        return lambda rows: scores(rows)[..., ::-1]
    columns = jnp.arange(sizes.bounds.output_size[1], dtype=jnp.int32)
    columns = jnp.maximum(sizes.output_size[1] - 1 - columns, 0)
    return lambda rows: take(scores(rows), columns, axis=-1)


def _mean_scores(
    class_logits: Sequence[Array | None],
    mask_logits: Sequence[Array],
    views: Sequence[View],
    resize_before_inference: bool,
) -> RowFunction:
    def of_view(classes: Array | None, masks: Array, view: View) -> RowFunction:
        if classes is None:
            scores = per_pixel_scores(masks, sizes=view.sizes)
        else:
            scores = semantic_scores(
                classes,
                masks,
                sizes=view.sizes,
                resize_before_inference=resize_before_inference,
            )
        return mirrored(scores, view.sizes) if view.mirrored else scores

    sources = [of_view(*one) for one in zip(class_logits, mask_logits, views, strict=True)]

    def mean(rows: Int[Array, " n"]) -> Float[Array, "k n w"]:
        total = sources[0](rows)
        for source in sources[1:]:
            total = total + source(rows)
        return total / jnp.asarray(len(sources), total.dtype)

    return mean
