"""From images to the results of a task, as functions to be compiled.

A batch holds images of one bucket and their sizes, int32 [B, 3, 2]: (height, width) of the padded
image, the image and its result, as in `ImageSizes`. Blank ones, with a result of (0, 0), fill it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig
from maskformer_jax.evaluation.image_loop import map_alone
from maskformer_jax.packed_masks import unpack_masks_on_host
from maskformer_jax.postprocess import (
    ImageSizes,
    Instances,
    PanopticSegmentation,
    View,
    augmented_labels,
    per_pixel_labels,
    semantic_labels,
)
from maskformer_jax.postprocess.general import general_reader
from maskformer_jax.postprocess.image_sizes import SizeBounds
from maskformer_jax.postprocess.instances import instance_reader
from maskformer_jax.postprocess.mask_readers import read_masks
from maskformer_jax.postprocess.panoptic import panoptic_reader
from maskformer_jax.postprocess.semantic import semantic_reader
from maskformer_jax.precision import at_least_float32_dtype, multiply_in
from maskformer_jax.types import Predictions, Size

# Variables and a batch, a tree of arrays with a leading axis B, to a tree of such arrays.
Program = Callable[[Any, Any], Any]


class Outputs(NamedTuple):
    """The results of one image as arrays of the output size; None where the task has none.

    For a batch all arrays have a leading axis B. Programs give masks of instances packed, which
    `crop_outputs` unpacks.
    """

    semantic: Any = None  # int32 [H, W], labels 0..K-1, -1 for none
    panoptic: PanopticSegmentation | None = None
    instances: Instances | None = None
    semantic_tta: Any = None  # as `semantic`, with test-time augmentation


def make_network(apply: Callable[..., Any], *, precision: str | None) -> Program:
    """A function from variables and (images, extent) to the last layer's predictions.

    Args:
        apply: of a MaskFormer or a per-pixel baseline; `extent` is None where the images fill the
            batch.
        precision: of matrix products and convolutions, from `precision.resolve_precision`.
    """

    def network(variables: Any, batch: tuple[Any, Any]) -> Predictions:
        images, extent = batch
        with multiply_in(precision):
            predictions: Any = apply(variables, images, extent=extent)
        return jax.tree.map(lambda x: x[-1], predictions)

    return network


def make_prediction(network: Program, *, exact: bool, one_by_one: bool) -> Program:
    """A function from variables and (images, sizes) to the last layer's predictions.

    Args:
        network: from `make_network`.
        exact: whether the images fill the batch.
        one_by_one: whether images follow each other through the network. Predictions are then
            those of every other batch, bit for bit; together, sums may be rounded in another order.
    """

    def predict(variables: Any, batch: tuple[Any, Any]) -> Predictions:
        images, sizes = batch
        return network(variables, (images, None if exact else sizes[:, 1]))

    def predict_one_by_one(variables: Any, batch: tuple[Any, Any]) -> Predictions:
        def predict_one(one: tuple[Any, Any]) -> Predictions:
            predictions = predict(variables, jax.tree.map(lambda x: x[None], one))
            return jax.tree.map(lambda x: x[0], predictions)

        present = (batch[1][:, 2, 0] > 0).sum()
        return map_alone(predict_one, batch, count=present)

    return predict_one_by_one if one_by_one else predict


def make_inference(
    network: Program,
    settings: EvalConfig,
    categories: Sequence[Category],
    *,
    sizes: ImageSizes | SizeBounds,
    exact: bool,
    one_by_one: bool,
) -> Program:
    """A function from variables and (images, sizes) to the batch's `Outputs`.

    The task "semantic" gives labels, "instance" gives instances, and "panoptic" gives all three.
    Images are post-processed one by one: the maps of one image are large, and this makes the
    results of a batch those of its images alone.

    Args:
        network: from `make_network`.
        settings: task, rules and thresholds.
        categories: K categories in label order.
        sizes: of all images, so that those of the batch are not used; or their bounds.
        exact: whether the images fill the batch.
        one_by_one: whether images follow each other through the network.
    """
    predict = make_prediction(network, exact=exact, one_by_one=one_by_one)
    infer = make_postprocess(settings, categories)

    def inference(variables: Any, batch: tuple[Any, Any]) -> Outputs:
        def infer_one(one: tuple[Predictions, Any]) -> Outputs:
            return infer(*one[0], image_sizes(sizes, one[1]))

        return jax.lax.map(infer_one, (predict(variables, batch), batch[1]))

    return inference


def make_adjustable(
    settings: EvalConfig, categories: Sequence[Category], *, sizes: ImageSizes | SizeBounds
) -> Program:
    """A function from (unused variables and) predictions, sizes and thresholds to `Outputs`.

    The thresholds, float32 [B, 2], are those of a panoptic segmentation: `object_mask_threshold`
    and `overlap_threshold`.

    Args:
        settings: task and rules.
        categories: K categories in label order.
        sizes: see `make_inference`.
    """

    def infer_one(one: tuple[Predictions, Any, Array]) -> Outputs:
        predictions, data, (object_mask, overlap) = one
        infer = make_postprocess(settings, categories, thresholds=(object_mask, overlap))
        return infer(*predictions, image_sizes(sizes, data))

    def postprocess(_: Any, batch: tuple[Predictions, Any, Array]) -> Outputs:
        return jax.lax.map(infer_one, batch)

    return postprocess


def make_postprocess(
    settings: EvalConfig,
    categories: Sequence[Category],
    *,
    thresholds: tuple[Any, Any] | None = None,
) -> Callable[[Array | None, Array, ImageSizes], Outputs]:
    """A function from class logits, mask logits and sizes of one image to its `Outputs`.

    Args:
        settings: task, rules and thresholds.
        categories: K categories in label order.
        thresholds: `object_mask_threshold` and `overlap_threshold` where they are data.
    """
    task = settings.task
    if thresholds is None:
        thresholds = (settings.object_mask_threshold, settings.overlap_threshold)
    object_mask_threshold, overlap_threshold = thresholds
    is_thing = np.array([category.is_thing for category in categories])

    general = settings.semantic_rule == "general"

    def infer(class_logits: Array | None, mask_logits: Array, sizes: ImageSizes) -> Outputs:
        if class_logits is None:
            return Outputs(semantic=per_pixel_labels(mask_logits, sizes=sizes))
        if task == "semantic" and not general and not settings.resize_before_inference:
            return Outputs(semantic=semantic_labels(class_logits, mask_logits, sizes=sizes))
        class_logits = class_logits.astype(at_least_float32_dtype(mask_logits.dtype))
        readers = {}
        if task != "instance":
            # The published panoptic models always resize first.
            readers["semantic"] = (
                general_reader(class_logits, score_threshold=settings.general_threshold)
                if general
                else semantic_reader(class_logits, sizes.work.precision)
            )
        if task == "panoptic":
            readers["panoptic"] = panoptic_reader(
                class_logits,
                is_thing,
                object_mask_threshold=object_mask_threshold,
                overlap_threshold=overlap_threshold,
            )
        if task != "semantic":
            readers["instances"] = instance_reader(
                class_logits, is_thing, max_instances=settings.max_instances
            )
        results = read_masks(mask_logits, list(readers.values()), sizes=sizes)
        return Outputs(**dict(zip(readers, results, strict=True)))

    return infer


def most_maps(settings: EvalConfig, *, num_queries: int | None, num_classes: int) -> int:
    """The maps that post-processing holds at once, which determine the size of its bands.

    Args:
        settings: task and rules.
        num_queries: Q; None for a per-pixel baseline.
        num_classes: K.
    """
    if num_queries is None:
        return num_classes
    most = num_queries
    if settings.task != "instance" and settings.semantic_rule == "class_sum":
        most = max(most, num_classes)
    if settings.task != "semantic":
        most = max(most, min(settings.max_instances, num_queries * num_classes))
    return most


def make_augmented(
    settings: EvalConfig, views: Sequence[tuple[ImageSizes | SizeBounds, bool]]
) -> Program:
    """A function from (unused variables and) the views of images to labels, int32 [B, H, W].

    The batch has, for each view, the predictions and the sizes.

    Args:
        settings: rules.
        views: sizes of each view, or their bounds, and whether it is mirrored.
    """

    def infer(batch: Sequence[tuple[Predictions, Any]]) -> Array:
        return augmented_labels(
            [predictions.class_logits for predictions, _ in batch],
            [predictions.mask_logits for predictions, _ in batch],
            views=[
                View(image_sizes(sizes, data), mirrored)
                for (sizes, mirrored), (_, data) in zip(views, batch, strict=True)
            ],
            resize_before_inference=settings.resize_before_inference,
        )

    def postprocess(_: Any, batch: Sequence[tuple[Predictions, Any]]) -> Array:
        return jax.lax.map(infer, batch)

    return postprocess


def image_sizes(sizes: ImageSizes | SizeBounds, data: Array) -> ImageSizes:
    """The sizes of one image: known beforehand, or data within these bounds."""
    if isinstance(sizes, ImageSizes):
        return sizes
    # A blank image is computed as if its result were one pixel.
    padded, image, output = ((size[0], size[1]) for size in jnp.maximum(data, 1))
    return ImageSizes(padded, image, output, bounds=sizes)


def crop_outputs(outputs: Outputs, size: Size) -> Outputs:
    """The results of one image, cut from arrays of a program that may be larger."""
    height, width = size

    def crop(maps: np.ndarray | None) -> np.ndarray | None:
        return None if maps is None else maps[..., :height, :width]

    panoptic, instances = outputs.panoptic, outputs.instances
    if instances is not None:
        masks = unpack_masks_on_host(instances.masks[:, :height], width)
        instances = instances._replace(masks=masks)
    return Outputs(
        semantic=crop(outputs.semantic),
        panoptic=None if panoptic is None else panoptic._replace(id_map=crop(panoptic.id_map)),
        instances=instances,
        semantic_tta=crop(outputs.semantic_tta),
    )
