"""A prediction beside its ground truth, for each task."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from maskformer_jax.categories import Category
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.transforms import resize_image
from maskformer_jax.evaluation.inference import Outputs
from maskformer_jax.evaluation.result import list_instances, list_segments
from maskformer_jax.pictures.labels import comparison, side_by_side
from maskformer_jax.pictures.segments import instance_overlay, panoptic_comparison

_SURE = 0.5  # score of an instance that is drawn


def compare(
    example: EvalExample, outputs: Outputs, categories: Sequence[Category]
) -> UInt8[np.ndarray, "h w 3"] | None:
    """Segments where there are any, else classes, else instances; None without ground truth.

    Args:
        example: the image as the network sees it, and the annotation.
        outputs: of this image.
        categories: K categories in label order.
    """
    image = resize_image(example.image, example.original_size)
    segments, instances = list_segments(outputs), list_instances(outputs)
    if outputs.panoptic is not None and segments is not None and example.panoptic is not None:
        found = {segment.segment_id: segment.label for segment in segments}
        true = {s.segment_id: s.label for s in example.panoptic.segments if not s.is_crowd}
        return panoptic_comparison(
            image,
            (outputs.panoptic.id_map, found),
            (example.panoptic.id_map, true),
            categories,
        )
    if outputs.semantic is not None and example.label_map is not None:
        return comparison(image, outputs.semantic, example.label_map, categories)
    if instances is not None and example.instances is not None:
        sure = [instance for instance in instances if instance.score >= _SURE]
        truth = [instance for instance in example.instances if not instance.is_crowd]
        pairs = (
            ([one.mask for one in sure], [one.label for one in sure]),
            ([decode_mask(one.rle) for one in truth], [one.label for one in truth]),
        )
        panels = [
            instance_overlay(
                image,
                np.array(masks, bool).reshape(-1, *image.shape[:2]),
                labels,
                categories,
                legend=False,
            )
            for masks, labels in pairs
        ]
        return side_by_side(panels, ("prediction", "ground truth"))
    return None
