"""Pictures of a result, alone and beside its ground truth, for every task."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from maskformer_jax.categories import Category
from maskformer_jax.config import EvalConfig
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.transforms import resize_image
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.result import (
    ClassesView,
    FoundInstance,
    InstancesView,
    Result,
    Segment,
    SegmentsView,
    to_result,
)
from maskformer_jax.types import VOID, Size
from maskformer_jax.visualize.labels import label_comparison, overlay_with_legend
from maskformer_jax.visualize.legend import add_note
from maskformer_jax.visualize.panels import side_by_side
from maskformer_jax.visualize.segments import (
    count_legend,
    instance_overlay,
    paint_masks,
    panoptic_comparison,
    panoptic_overlay,
)

MIN_DRAWN_SCORE = 0.5  # of an instance


def draw_result(
    image: UInt8[np.ndarray, "h w 3"],
    result: Result,
    categories: Sequence[Category],
    *,
    alpha: float = 0.5,
    note: str | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw the main view of a result over the image, with a legend.

    Args:
        image: RGB.
        result: of this image and size. Only instances with a score of at least 0.5 are drawn.
        categories: K categories in label order.
        alpha: opacity of the colours, 0..1.
        note: a line below the picture.
    """
    picture = _draw_view(image, result, categories, alpha=alpha)
    return picture if note is None else add_note(picture, note)


def explain_empty(result: Result, settings: EvalConfig) -> str | None:
    """Say which threshold left nothing to draw; None where there is something."""
    match result.main_view:
        case SegmentsView(_, segments) if not segments:
            return (
                f"no segment above object_mask_threshold {settings.object_mask_threshold} and "
                f"overlap_threshold {settings.overlap_threshold}"
            )
        case InstancesView(instances) if not _drawn_instances(instances)[0]:
            return f"no instance with a score of {MIN_DRAWN_SCORE} or more"
    return None


def _draw_view(
    image: np.ndarray, result: Result, categories: Sequence[Category], *, alpha: float
) -> UInt8[np.ndarray, "height width 3"]:
    match result.main_view:
        case SegmentsView(id_map, segments):
            labels = _label_by_id(segments)
            return panoptic_overlay(image, id_map, labels, categories, alpha=alpha)
        case ClassesView(label_map):
            return overlay_with_legend(image, label_map, categories, alpha=alpha)
        case InstancesView(instances):
            masks, labels_of = _drawn_instances(instances)
            stack = _stack(masks, image)
            return instance_overlay(image, stack, labels_of, categories, alpha=alpha)


def draw_comparison(
    example: EvalExample, outputs: Outputs, categories: Sequence[Category]
) -> UInt8[np.ndarray, "h w 3"] | None:
    """Draw a result beside its ground truth: segments, else classes, else instances.

    Args:
        example: the image as the network sees it, and its annotation.
        outputs: of this image.
        categories: K categories in label order.

    Returns:
        RGB, or None if no result has a ground truth.
    """
    image = resize_image(example.image, example.original_size)
    result = _with_ground_truth(to_result(outputs), example)
    match result.main_view:
        case SegmentsView(id_map, segments):
            prediction = (id_map, _label_by_id(segments))
            return panoptic_comparison(image, prediction, _true_segments(example), categories)
        case ClassesView(label_map):
            return label_comparison(image, label_map, example.label_map, categories)
        case InstancesView(instances):
            if result.instances is None:
                return None
            found, true = _drawn_instances(instances), _true_instances(example)
            panels = [
                instance_overlay(image, _stack(masks, image), labels, categories, legend=False)
                for masks, labels in (found, true)
            ]
            picture = side_by_side(panels, ("prediction", "ground truth"))
            return count_legend(picture, found[1], true[1], categories, like=panels[0])


def segments_of_view(
    view: SegmentsView | ClassesView | InstancesView,
    size: Size,
    *,
    least_score: float = MIN_DRAWN_SCORE,
) -> tuple[np.ndarray, dict[int, int], dict[int, float]]:
    """A view of a result as disjoint segments.

    Args:
        view: of an image.
        size: (height, width) of the image.
        least_score: that instances must have, of which the best is on top.

    Returns:
        Ids, int32 [H, W], 0 for none; the class of each id; the score of each id that has one.
    """
    match view:
        case SegmentsView(id_map, segments):
            scores = {segment.segment_id: segment.score for segment in segments}
            return id_map, _label_by_id(segments), scores
        case ClassesView(label_map):
            return *_segments_of_classes(label_map), {}
        case InstancesView(instances):
            drawn = [one for one in instances if one.score >= least_score]
            ids = paint_masks([one.mask for one in drawn], size)
            labels = {i: one.label for i, one in enumerate(drawn, start=1)}
            return ids, labels, {i: one.score for i, one in enumerate(drawn, start=1)}


def true_segments(
    example: EvalExample, *, like: Outputs
) -> tuple[np.ndarray, dict[int, int]] | None:
    """The ground truth as disjoint segments, of the kind that a result has; None without one.

    Args:
        example: with its annotation at original size.
        like: the result of the image.
    """
    if like.panoptic is not None and example.panoptic is not None:
        return _true_segments(example)
    if like.semantic is not None and example.label_map is not None:
        return _segments_of_classes(example.label_map)
    if like.instances is not None and example.instances is not None:
        masks, labels = _true_instances(example)
        return paint_masks(masks, example.original_size), dict(enumerate(labels, start=1))
    return None


def _segments_of_classes(label_map: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
    """Each class of a label map as one segment, whose id is the label + 1."""
    labels = np.unique(label_map[label_map != VOID]).tolist()
    return (label_map + 1).astype(np.int32), {label + 1: label for label in labels}


def _with_ground_truth(result: Result, example: EvalExample) -> Result:
    """The result without the fields that the annotation lacks."""
    if example.panoptic is None:
        result = dataclasses.replace(result, panoptic=None, segments=None)
    if example.label_map is None:
        result = dataclasses.replace(result, semantic=None)
    if example.instances is None:
        result = dataclasses.replace(result, instances=None)
    return result


def _label_by_id(segments: Sequence[Segment]) -> dict[int, int]:
    return {segment.segment_id: segment.label for segment in segments}


def _true_segments(example: EvalExample) -> tuple[np.ndarray, dict[int, int]]:
    assert example.panoptic is not None
    segments = example.panoptic.segments
    labels = {segment.segment_id: segment.label for segment in segments if not segment.is_crowd}
    return example.panoptic.id_map, labels


def _drawn_instances(instances: Sequence[FoundInstance]) -> tuple[list[np.ndarray], list[int]]:
    drawn = [instance for instance in instances if instance.score >= MIN_DRAWN_SCORE]
    return [instance.mask for instance in drawn], [instance.label for instance in drawn]


def _true_instances(example: EvalExample) -> tuple[list[np.ndarray], list[int]]:
    drawn = [instance for instance in example.instances or () if not instance.is_crowd]
    return [decode_mask(one.rle) for one in drawn], [one.label for one in drawn]


def _stack(masks: list[np.ndarray], image: np.ndarray) -> np.ndarray:
    return np.array(masks, bool).reshape(-1, *image.shape[:2])
