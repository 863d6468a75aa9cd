"""Masks of segments on the device, expanded from their compact form where and when they are needed.

Segments that cannot overlap come as one integer map, others as packed bits (types.Batch); neither
is ever expanded to one full-size mask for each segment.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import LossConfig
from maskformer_jax.errors import UserError
from maskformer_jax.resize import Size, nearest_indices, pad_bottom_right, padded_size
from maskformer_jax.types import Batch


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("segment_map", "packed", "counted"),
    meta_fields=("size",),
)
@dataclass(frozen=True)
class GroundTruth:
    """The masks of a batch at the padded size; one of the first two fields is None."""

    segment_map: Any  # int [B, H, W], index into the image's segments, -1 none
    packed: Any  # uint8 [B, N, H, ceil(W / 8)], bits along the width, highest first
    counted: Any  # bool [B, H, W], the pixels that losses and costs look at; None: all
    size: Size


def make_ground_truth(batch: Batch, config: LossConfig, *, size_divisibility: int) -> GroundTruth:
    """Pad the masks of a batch as the model pads its images.

    The padding counts as outside of every mask, and so does void, unless `config.ignore_padding`
    or `config.ignore_void` leaves them out.

    Raises:
        UserError: void is to be ignored where segments overlap, which says nothing about void.
    """
    height, width = _unpadded_size(batch)
    size = padded_size((height, width), size_divisibility)
    segment_map = packed = counted = None
    if batch.segment_map is not None:
        segment_map = pad_bottom_right(batch.segment_map, size, axes=(1, 2), value=-1)
    else:
        bytes_wide = (size[0], -(-size[1] // 8))
        packed = pad_bottom_right(batch.masks, bytes_wide, axes=(2, 3))
    if config.ignore_void and segment_map is None:
        raise UserError(
            "config.loss.ignore_void is True, but segments that may overlap do not say which "
            "pixels are void; set it to False"
        )
    if config.ignore_padding or config.ignore_void:
        real = pad_bottom_right(
            jnp.asarray(batch.image_valid)[:, :height, :width], size, axes=(1, 2), value=False
        )
        counted = real if config.ignore_padding else jnp.ones_like(real)
        if segment_map is not None and config.ignore_void:
            counted = counted & ((segment_map >= 0) | ~real)
    return GroundTruth(segment_map, packed, counted, size)


def masks_at_size(truth: GroundTruth, size: Size, *, num_slots: int) -> Bool[Array, "b n h w"]:
    """All masks, shrunk to `size` by the rule of `resize.nearest_indices`."""
    rows, columns = (nearest_indices(old, new) for old, new in zip(truth.size, size, strict=True))
    if truth.segment_map is not None:
        small = _pick(truth.segment_map, rows, columns)
        slots = jnp.arange(num_slots, dtype=small.dtype).reshape(1, -1, 1, 1)
        return small[:, None] == slots
    return _bits(_pick(truth.packed, rows, columns // 8), columns)


def counted_at_size(truth: GroundTruth, size: Size) -> Bool[Array, "b h w"] | None:
    """Which pixels count, shrunk like the masks; None: all."""
    if truth.counted is None:
        return None
    rows, columns = (nearest_indices(old, new) for old, new in zip(truth.size, size, strict=True))
    return _pick(truth.counted, rows, columns)


def mask_of_slot(truth: GroundTruth, slot: Int[Array, ""]) -> Bool[Array, "b H W"]:
    """The full-size mask of one slot of every image."""
    if truth.segment_map is not None:
        return truth.segment_map == slot
    packed = jax.lax.dynamic_index_in_dim(truth.packed, slot, axis=1, keepdims=False)
    return jnp.unpackbits(packed, axis=-1, count=truth.size[1]).astype(bool)


def masks_at_points(
    truth: GroundTruth, points: Float[Array, "b p 2"], slots: Int[Array, " n"]
) -> Bool[Array, "b n p"]:
    """Whether points lie in the masks of some slots.

    Args:
        truth: the masks.
        points: (y, x) in 0..1 from the top left corner to the bottom right one.
        slots: which masks.
    """
    rows, columns = _pixels(points, truth.size)
    if truth.segment_map is not None:
        found = _take_pixels(truth.segment_map, rows, columns)
        return found[:, None] == slots[None, :, None].astype(found.dtype)
    packed = jnp.take(truth.packed, slots, axis=1)
    return _bits(_take_pixels(packed, rows[:, None], columns[:, None] // 8), columns[:, None])


def counted_at_points(
    truth: GroundTruth, points: Float[Array, "b p 2"]
) -> Bool[Array, "b p"] | None:
    """Whether points lie on pixels that count; None: all do."""
    if truth.counted is None:
        return None
    return _take_pixels(truth.counted, *_pixels(points, truth.size))


def _unpadded_size(batch: Batch) -> Size:
    if batch.segment_map is not None:
        return batch.segment_map.shape[1], batch.segment_map.shape[2]
    return batch.image.shape[1], batch.image.shape[2]


def _pick(maps: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    return jnp.take(jnp.take(maps, rows, axis=-2), columns, axis=-1)


def _pixels(points: Array, size: Size) -> tuple[Array, Array]:
    scaled = jnp.floor(points * jnp.asarray(size, points.dtype)).astype(jnp.int32)
    return tuple(jnp.clip(scaled[..., i], 0, size[i] - 1) for i in range(2))  # type: ignore[return-value]


def _take_pixels(maps: Array, rows: Array, columns: Array) -> Array:
    index = rows * maps.shape[-1] + columns
    return jnp.take_along_axis(maps.reshape(*maps.shape[:-2], -1), index, axis=-1)


def _bits(values: Array, columns: Array | np.ndarray) -> Array:
    """The bits of the pixels in these columns from the bytes that they lie in."""
    shift = jnp.asarray(7 - columns % 8, jnp.uint8)
    return ((values >> shift) & 1).astype(bool)
