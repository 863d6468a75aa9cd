"""From images to the results of a task, as functions to be compiled.

Network and post-processing are separate: the network depends only on the input size, and its
compiled form serves all output sizes and all views of test-time augmentation.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig
from maskformer_jax.postprocess import (
    ImageSizes,
    Instances,
    PanopticSegmentation,
    View,
    augmented_labels,
    general_semantic_labels,
    instance_inference,
    panoptic_inference,
    per_pixel_labels,
    semantic_labels,
)
from maskformer_jax.types import Predictions


class Outputs(NamedTuple):
    """The results of one image as arrays of the output size; None where the task has none.

    For a batch all arrays have a leading axis B.
    """

    semantic: Any = None  # int32 [H, W], labels 0..K-1, -1 for none
    panoptic: PanopticSegmentation | None = None
    instances: Instances | None = None
    semantic_tta: Any = None  # as `semantic`, with test-time augmentation


def make_network(apply: Callable[..., Any]) -> Callable[[Any, tuple[Any, Any]], Predictions]:
    """A function from variables and (images, image_valid) to the last layer's predictions.

    Args:
        apply: of a MaskFormer or a per-pixel baseline.
    """

    def network(variables: Any, inputs: tuple[Any, Any]) -> Predictions:
        images, image_valid = inputs
        arguments = (images,) if image_valid is None else (images, image_valid)
        predictions: Any = apply(variables, *arguments)
        return jax.tree.map(lambda x: x[-1], predictions)

    return network


def make_postprocess(
    settings: EvalConfig, categories: Sequence[Category], *, sizes: ImageSizes
) -> Callable[[Any, Predictions], Outputs]:
    """A function from (unused variables and) a batch of predictions to the batch's `Outputs`.

    The task "semantic" gives labels, "instance" gives instances, and "panoptic" gives all three.
    Images are post-processed one by one: the maps of one image are large, and this makes the
    results of a batch those of its images alone.

    Args:
        settings: task, rules and thresholds.
        categories: K categories in label order.
        sizes: of all images in the batch.
    """
    task = settings.task
    is_thing = np.array([category.is_thing for category in categories])

    def infer_labels(class_logits: Array, mask_logits: Array) -> Array:
        if settings.semantic_rule == "general":
            return general_semantic_labels(
                class_logits, mask_logits, sizes=sizes, score_threshold=settings.general_threshold
            )
        return semantic_labels(
            class_logits,
            mask_logits,
            sizes=sizes,
            # The published panoptic models always resize first.
            resize_before_inference=settings.resize_before_inference or task == "panoptic",
        )

    def infer(class_logits: Array | None, mask_logits: Array) -> Outputs:
        if class_logits is None:
            return Outputs(semantic=per_pixel_labels(mask_logits, sizes=sizes))
        semantic = panoptic = instances = None
        if task != "instance":
            semantic = infer_labels(class_logits, mask_logits)
        if task == "panoptic":
            panoptic = panoptic_inference(
                class_logits,
                mask_logits,
                is_thing,
                **sizes._asdict(),
                object_mask_threshold=settings.object_mask_threshold,
                overlap_threshold=settings.overlap_threshold,
            )
        if task != "semantic":
            instances = instance_inference(
                class_logits,
                mask_logits,
                is_thing,
                **sizes._asdict(),
                max_instances=settings.max_instances,
            )
        return Outputs(semantic, panoptic, instances)

    def postprocess(_: Any, predictions: Predictions) -> Outputs:
        return jax.lax.map(lambda one: infer(*one), predictions)

    return postprocess


def make_augmented(
    settings: EvalConfig, views: Sequence[View]
) -> Callable[[Any, tuple[Predictions, ...]], Array]:
    """A function from (unused variables and) the views' predictions to labels, int32 [B, H, W].

    Args:
        settings: rules.
        views: how the inputs were made. There is one `Predictions`, with an axis B, for each view.
    """

    def infer(predictions: tuple[Predictions, ...]) -> Array:
        return augmented_labels(
            [one.class_logits for one in predictions],
            [one.mask_logits for one in predictions],
            views=views,
            resize_before_inference=settings.resize_before_inference,
        )

    def postprocess(_: Any, predictions: tuple[Predictions, ...]) -> Array:
        return jax.lax.map(infer, predictions)

    return postprocess
