"""From images to the results of a task, as functions to compile.

Network and post-processing are apart: the one depends on the input size alone, and what is
compiled for it serves all output sizes and all views of test-time augmentation.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig, Size
from maskformer_jax.postprocess import (
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
    """What a model says about an image, at the output size; None where the task does not ask.

    For a batch all arrays have an axis B in front.
    """

    semantic: Any = None  # int32 [H, W], labels 0..K-1
    panoptic: PanopticSegmentation | None = None
    instances: Instances | None = None
    semantic_tta: Any = None  # as `semantic`, with test-time augmentation


def make_network(apply: Callable[..., Any]) -> Callable[[Any, tuple[Any, Any]], Predictions]:
    """A function from variables and (images, image_valid) to the last layer's predictions.

    Args:
        apply: Of a MaskFormer or a per-pixel baseline.
    """

    def network(variables: Any, inputs: tuple[Any, Any]) -> Predictions:
        images, image_valid = inputs
        arguments = (images,) if image_valid is None else (images, image_valid)
        predictions: Any = apply(variables, *arguments)
        return jax.tree.map(lambda x: x[-1], predictions)

    return network


def make_postprocess(
    settings: EvalConfig,
    categories: Sequence[Category],
    *,
    padded_size: Size,
    image_size: Size,
    output_size: Size,
) -> Callable[[Any, Predictions], Outputs]:
    """A function from nothing and a batch of predictions to the `Outputs` of the batch.

    The task "semantic" gives labels, "instance" instances, and "panoptic" all three. Images are
    post-processed one by one: the maps of one are large, and so a batch gives what its images
    alone would.

    Args:
        settings: How.
        categories: K categories in label order.
        padded_size: Of the input after padding.
        image_size: Of the input before padding.
        output_size: Of the results.
    """
    task = settings.task
    is_thing = np.array([category.is_thing for category in categories])
    sizes: dict[str, Any] = {
        "padded_size": padded_size,
        "image_size": image_size,
        "output_size": output_size,
    }

    def infer(class_logits: Array | None, mask_logits: Array) -> Outputs:
        if class_logits is None:
            labels = per_pixel_labels(mask_logits, image_size=image_size, output_size=output_size)
            return Outputs(semantic=labels)
        semantic = panoptic = instances = None
        if task != "instance" and settings.semantic_rule == "general":
            semantic = general_semantic_labels(
                class_logits, mask_logits, score_threshold=settings.general_threshold, **sizes
            )
        elif task != "instance":
            semantic = semantic_labels(
                class_logits,
                mask_logits,
                # The published panoptic models always do so.
                resize_before_inference=settings.resize_before_inference or task == "panoptic",
                **sizes,
            )
        if task == "panoptic":
            panoptic = panoptic_inference(
                class_logits,
                mask_logits,
                is_thing,
                object_mask_threshold=settings.object_mask_threshold,
                overlap_threshold=settings.overlap_threshold,
                **sizes,
            )
        if task != "semantic":
            instances = instance_inference(
                class_logits, mask_logits, is_thing, max_instances=settings.max_instances, **sizes
            )
        return Outputs(semantic, panoptic, instances)

    def postprocess(_: Any, predictions: Predictions) -> Outputs:
        return jax.lax.map(lambda one: infer(*one), predictions)

    return postprocess


def make_augmented(
    settings: EvalConfig, views: Sequence[View], *, output_size: Size
) -> Callable[[Any, tuple[Predictions, ...]], Array]:
    """A function from nothing and predictions to labels, int32 [B, H, W].

    Args:
        settings: How.
        views: How the inputs were made. The predictions are one for each view, with an axis B.
        output_size: Of the results.
    """

    def infer(predictions: tuple[Predictions, ...]) -> Array:
        return augmented_labels(
            [one.class_logits for one in predictions],
            [one.mask_logits for one in predictions],
            views=views,
            output_size=output_size,
            resize_before_inference=settings.resize_before_inference,
        )

    def postprocess(_: Any, predictions: tuple[Predictions, ...]) -> Array:
        return jax.lax.map(infer, predictions)

    return postprocess
