"""Noise images with segments of square patches: no data set is needed to measure speed."""

import numpy as np
from jaxtyping import UInt8

from maskformer_jax.types import Batch, Size

PATCH = 16  # pixels; each belongs to one segment


def draw_images(count: int, size: Size) -> UInt8[np.ndarray, "b h w 3"]:
    """Uniform noise."""
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3)).astype(np.uint8)


def draw_batch(
    count: int, size: Size, *, segments: int, slots: int, num_classes: int, overlapping: bool
) -> Batch:
    """A training batch in which each segment is a random set of square patches.

    Args:
        count: of images.
        size: of the images, whose every pixel is valid.
        segments: in each image, at most as many as there are slots.
        slots: N.
        num_classes: K.
        overlapping: hold the masks as bits, for data whose segments may overlap.
    """
    height, width = size
    used = min(segments, slots)
    patches = np.random.default_rng(1).integers(
        0, used, (count, -(-height // PATCH), -(-width // PATCH))
    )
    segment_map = patches.repeat(PATCH, 1).repeat(PATCH, 2)[:, :height, :width].astype(np.int16)
    masks = None
    if overlapping:
        masks = np.packbits(segment_map[:, None] == np.arange(slots)[:, None, None], axis=-1)
    return Batch(
        image=draw_images(count, size),
        image_valid=np.ones((count, height, width), bool),
        segment_map=None if overlapping else segment_map,
        labels=np.tile(np.arange(slots, dtype=np.int32) % min(used, num_classes), (count, 1)),
        segment_valid=np.tile(np.arange(slots) < used, (count, 1)),
        masks=masks,
    )
