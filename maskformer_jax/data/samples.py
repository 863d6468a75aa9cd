"""Examples to rows of a batch: augmentation and targets, by the mapper of the recipe."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import DataConfig
from maskformer_jax.data.example import VOID_ID, Example, Instance, PanopticLabels
from maskformer_jax.data.geometry import Geometry, transform_image, transform_map
from maskformer_jax.data.panoptic import to_instances
from maskformer_jax.data.run_lengths import decode_mask
from maskformer_jax.data.targets import (
    Targets,
    instance_targets,
    panoptic_targets,
    semantic_targets,
)
from maskformer_jax.data.transforms import augment, pad_to
from maskformer_jax.errors import UserError
from maskformer_jax.types import Batch, Size


def make_crop(example: Example, rng: np.random.Generator, *, config: DataConfig) -> Batch:
    """Make a row for the mappers "semantic" and "panoptic": a crop of `augment.crop_size`.

    Raises:
        UserError: the example has no annotation of this kind, or more segments than slots.
    """
    slots, name = config.num_segments, f"'{example.image_id}'"
    if config.mapper == "panoptic":
        panoptic = require_panoptic(example, config)
        image, id_map = augment(example.image, panoptic.id_map, config.augment, rng, is_id_map=True)
        targets = panoptic_targets(id_map, panoptic.segments, num_segments=slots, name=name)
    else:
        label_map = require_annotation(example.label_map, "label map", example, config)
        image, label_map = augment(example.image, label_map, config.augment, rng)
        targets = semantic_targets(label_map, num_segments=slots, name=name)
    # All pixels are valid, padding included: the published mapper pads before normalisation, so the
    # network sees grey there, not zeros.
    return _make_row(image, np.ones(image.shape[:2], bool), targets)


def make_padded(
    example: Example, geometry: Geometry, *, size: Size, config: DataConfig, info: DatasetInfo
) -> Batch:
    """Make a row for the mappers "coco_panoptic" and "instance": any shape, padded to `size`.

    Raises:
        UserError: the example has no annotation of this kind, or more segments than slots.
    """
    slots, name = config.num_segments, f"'{example.image_id}'"
    image = transform_image(example.image, geometry, color=config.augment.color)
    if config.mapper == "instance":
        instances = [x for x in require_instances(example, config, info) if not x.is_crowd]
        masks = _transform_masks(instances, geometry, size)
        targets = instance_targets(
            masks, [x.label for x in instances], num_segments=slots, name=name
        )
    else:
        panoptic = require_panoptic(example, config)
        id_map = pad_to(transform_map(panoptic.id_map, geometry), size, VOID_ID)
        targets = panoptic_targets(id_map, panoptic.segments, num_segments=slots, name=name)
    image_valid = pad_to(np.ones(image.shape[:2], bool), size, 0)
    return _make_row(pad_to(image, size, 0), image_valid, targets)


def stack_rows(rows: Sequence[Batch]) -> Batch:
    """Stack rows to a batch; all rows lack the same fields."""
    columns = zip(*rows, strict=True)
    return Batch(*(None if column[0] is None else np.stack(column) for column in columns))


def _make_row(image: np.ndarray, image_valid: np.ndarray, targets: Targets) -> Batch:
    return Batch(
        image=image,
        image_valid=image_valid,
        segment_map=targets.segment_map,
        labels=targets.labels,
        segment_valid=targets.segment_valid,
        masks=targets.masks,
    )


def _transform_masks(instances: Sequence[Instance], geometry: Geometry, size: Size) -> np.ndarray:
    masks = np.zeros((len(instances), *size), np.uint8)
    height, width = geometry.size
    for mask, instance in zip(masks, instances, strict=True):
        original = decode_mask(instance.rle).view(np.uint8)
        mask[:height, :width] = transform_map(original, geometry)
    return masks


def require_panoptic(example: Example, config: DataConfig) -> PanopticLabels:
    """Return the panoptic annotation of an example; a UserError if it has none."""
    what = "panoptic annotation"
    panoptic: PanopticLabels = require_annotation(example.panoptic, what, example, config)
    return panoptic


def require_instances(
    example: Example, config: DataConfig, info: DatasetInfo
) -> tuple[Instance, ...]:
    """Return the instances of an example, or else the things of its panoptic annotation.

    Raises:
        UserError: it has neither.
    """
    if example.instances is None and example.panoptic is not None:
        return to_instances(example.panoptic, info.categories)
    what = "instance annotation"
    instances: tuple[Instance, ...] = require_annotation(example.instances, what, example, config)
    return instances


def require_annotation(annotation: Any, what: str, example: Example, config: DataConfig) -> Any:
    """Return an annotation; a UserError if it is None."""
    if annotation is None:
        raise UserError(
            f"config.data.mapper is '{config.mapper}', but image '{example.image_id}' has no "
            f"{what}, because config.data.format='{config.format}' reads other annotations"
        )
    return annotation
