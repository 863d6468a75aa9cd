"""Annotations to the ground-truth segments of the loss (paper sections 3.2 and 3.3)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from maskformer_jax.data.example import PanopticSegment
from maskformer_jax.data.panoptic import replace_ids
from maskformer_jax.errors import UserError
from maskformer_jax.types import VOID


class Targets(NamedTuple):
    """The segments of one image, in N slots."""

    segment_map: Any  # int16 [h, w], slot of the segment of each pixel, -1 void; or None
    labels: Any  # int32 [N], 0 in unused slots
    segment_valid: Any  # bool [N]
    masks: Any = None  # uint8 [N, h, ceil(w / 8)], np.packbits along the width; or None


def semantic_targets(
    label_map: Int32[np.ndarray, "h w"], *, num_segments: int, name: str
) -> Targets:
    """Make one segment for each class in the image, in the order of the labels.

    Args:
        label_map: 0..K-1, -1 void. An all-void map has no segments.
        num_segments: N, the number of slots.
        name: of the image, for messages.

    Raises:
        UserError: the image has more than N classes.
    """
    pixels = np.bincount(label_map.ravel() - VOID)[1:]  # by label, without void
    present = np.flatnonzero(pixels)
    if len(present) > num_segments:
        hint = " (the number of classes always suffices)"
        raise _too_many(len(present), num_segments, name=name, hint=hint)
    slots = np.full(len(pixels) + 1, VOID, np.int16)  # by label; the last entry is for void (-1)
    slots[present] = np.arange(len(present))
    labels, segment_valid = _fill_slots(present, num_segments)
    return Targets(slots.take(label_map, mode="wrap"), labels, segment_valid)


def panoptic_targets(
    id_map: Int32[np.ndarray, "h w"],
    segments: Sequence[PanopticSegment],
    *,
    num_segments: int,
    name: str,
) -> Targets:
    """Make one segment for each annotated segment that is not crowd, in their order.

    A segment outside the crop stays a target without pixels, as in the published mappers.

    Args:
        id_map: segment ids of the crop, 0 void.
        segments: of the whole image.
        num_segments: N, the number of slots.
        name: of the image, for messages.

    Raises:
        UserError: there are more than N segments.
    """
    kept = [segment for segment in segments if not segment.is_crowd]
    if len(kept) > num_segments:
        raise _too_many(len(kept), num_segments, name=name)
    ids = [segment.segment_id for segment in kept]
    slots = replace_ids(id_map, ids, range(len(kept))).astype(np.int16)
    return Targets(slots, *_fill_slots([segment.label for segment in kept], num_segments))


def instance_targets(
    masks: UInt8[np.ndarray, "n h w"], labels: Sequence[int], *, num_segments: int, name: str
) -> Targets:
    """Make one segment for each instance that still has pixels, in their order, as packed bits.

    Args:
        masks: 0 or 1, after augmentation.
        labels: 0..K-1, of each instance.
        num_segments: N, the number of slots.
        name: of the image, for messages.

    Raises:
        UserError: there are more than N such instances.
    """
    kept = np.flatnonzero(masks.any(axis=(1, 2))).tolist()
    if len(kept) > num_segments:
        raise _too_many(len(kept), num_segments, name=name)
    _, height, width = masks.shape
    packed = np.zeros((num_segments, height, -(-width // 8)), np.uint8)
    packed[: len(kept)] = np.packbits(masks[kept], axis=-1)
    return Targets(None, *_fill_slots([labels[i] for i in kept], num_segments), packed)


def _fill_slots(labels: Any, num_segments: int) -> tuple[Any, Any]:
    filled = np.zeros(num_segments, np.int32)
    filled[: len(labels)] = labels
    return filled, np.arange(num_segments) < len(labels)


def _too_many(number: int, num_segments: int, *, name: str, hint: str = "") -> UserError:
    return UserError(
        f"config.data.num_segments is {num_segments}, but must be {number} or more for image "
        f"{name}{hint}"
    )
