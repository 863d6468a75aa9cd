"""From a label map to the segments of the training loss (paper section 3.3)."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from maskformer_jax.errors import UserError

_VOID = -1


class Targets(NamedTuple):
    """The segments of one image in N slots."""

    segment_map: Any  # int16 [h, w], slot of the segment that owns the pixel, -1 void
    labels: Any  # int32 [N], 0 in unused slots
    segment_valid: Any  # bool [N]


def semantic_targets(
    label_map: Int32[np.ndarray, "h w"], *, num_segments: int, name: str
) -> Targets:
    """One segment for each class that occurs, in the order of the labels.

    Args:
        label_map: 0..K-1, -1 void. All void gives no segment.
        num_segments: N, how many slots there are.
        name: of the image, for the message.

    Raises:
        UserError: more than N classes occur.
    """
    pixels = np.bincount(label_map.ravel() - _VOID)[1:]  # by label; void is dropped
    present = np.flatnonzero(pixels)
    if len(present) > num_segments:
        raise UserError(
            f"image {name}: {len(present)} segments, but data.num_segments is {num_segments}; "
            f"set it to {len(present)} or more (the number of classes is always enough)"
        )
    slots = np.full(len(pixels) + 1, _VOID, np.int16)  # by label, the last entry for void (-1)
    slots[present] = np.arange(len(present))
    labels = np.zeros(num_segments, np.int32)
    labels[: len(present)] = present
    return Targets(
        slots.take(label_map, mode="wrap"), labels, np.arange(num_segments) < len(present)
    )
