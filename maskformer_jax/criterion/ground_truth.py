"""The ground truth of a batch, padded as the model pads its images."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from maskformer_jax.config import LossConfig
from maskformer_jax.criterion.masks import DisjointMasks, Masks, PackedMasks
from maskformer_jax.criterion.pixel_valid import find_valid_pixels
from maskformer_jax.resize import pad_bottom_right, padded_size
from maskformer_jax.types import Batch


class GroundTruth(NamedTuple):
    """Segments of a batch, and which pixels predictions are compared on."""

    labels: Any  # int [B, N], class of each segment in 0..K-1; unused slots hold 0
    segment_valid: Any  # bool [B, N], which of the N slots hold a segment
    masks: Masks  # at the padded size
    pixel_valid: Any  # bool [B, H, W], see pixel_valid.py; None for all pixels


def make_ground_truth(batch: Batch, config: LossConfig, *, size_divisibility: int) -> GroundTruth:
    """Pad the masks of a batch to a multiple of `size_divisibility` (0: not at all).

    Raises:
        UserError: `config.ignore_void` is set, but segments may overlap.
    """
    if batch.segment_map is not None:
        height, width = batch.segment_map.shape[1:]
    else:
        height, width = batch.image.shape[1:3]
    size = padded_size((height, width), size_divisibility)
    masks: Masks
    if batch.segment_map is not None:
        segment_map = pad_bottom_right(batch.segment_map, size, axes=(1, 2), value=-1)
        masks = DisjointMasks(segment_map, batch.labels.shape[1])
    else:
        size_in_bytes = (size[0], -(-size[1] // 8))
        masks = PackedMasks(pad_bottom_right(batch.masks, size_in_bytes, axes=(2, 3)), size)
    pixel_valid = None
    if config.ignore_padding or config.ignore_void:
        image_valid = jnp.asarray(batch.image_valid)[:, :height, :width]
        pixel_valid = find_valid_pixels(
            masks,
            pad_bottom_right(image_valid, size, axes=(1, 2), value=False),
            ignore_padding=config.ignore_padding,
            ignore_void=config.ignore_void,
        )
    return GroundTruth(
        jnp.asarray(batch.labels), jnp.asarray(batch.segment_valid), masks, pixel_valid
    )
