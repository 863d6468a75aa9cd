"""From images to the results of a task, as one function to compile."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from maskformer_jax.categories import Category
from maskformer_jax.config import Config, Size
from maskformer_jax.postprocess import (
    Instances,
    PanopticSegmentation,
    general_semantic_labels,
    instance_inference,
    panoptic_inference,
    per_pixel_labels,
    semantic_labels,
)
from maskformer_jax.resize import padded_size


class Outputs(NamedTuple):
    """What a model says about an image, at the output size; None where the task does not ask.

    For a batch all arrays have an axis B in front.
    """

    semantic: Any = None  # int32 [H, W], labels 0..K-1
    panoptic: PanopticSegmentation | None = None
    instances: Instances | None = None


def make_inference(
    apply: Callable[..., Any],
    config: Config,
    categories: Sequence[Category],
    *,
    image_size: Size,
    output_size: Size,
) -> Callable[[Any, Any], Outputs]:
    """A function from variables and images, uint8 [B, H, W, 3], to the `Outputs` of the batch.

    The task "semantic" gives labels, "instance" instances, and "panoptic" all three. Images go
    through the network together and through post-processing one by one: the maps of one are large,
    and so a batch gives what its images alone would.

    Args:
        apply: Of a MaskFormer, or for the task "semantic" of a per-pixel baseline.
        config: Its recipe (`eval` and `model.size_divisibility` are used).
        categories: K categories in label order.
        image_size: of the images.
        output_size: of the results.
    """
    task, settings = config.eval.task, config.eval
    is_thing = np.array([category.is_thing for category in categories])
    sizes: dict[str, Any] = {
        "padded_size": padded_size(image_size, config.model.size_divisibility),
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

    def predict(variables: Any, images: Array) -> Outputs:
        predictions: Any = apply(variables, images)
        last_layer = jax.tree.map(lambda x: x[-1], predictions)
        return jax.lax.map(lambda one: infer(*one), last_layer)

    return predict
