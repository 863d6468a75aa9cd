"""Ground-truth masks on the device: two compact forms with the same methods.

Masks are expanded only at the size, at the points or for the slot that is asked for, so there is
never one full-size mask for every segment.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from maskformer_jax.criterion.pixel_lookup import (
    nearest_grid,
    pixels_of_points,
    take_grid,
    take_pixels,
)
from maskformer_jax.packed_masks import unpack_masks
from maskformer_jax.types import Size


@partial(jax.tree_util.register_dataclass, data_fields=("segment_map",), meta_fields=("num_slots",))
@dataclass(frozen=True)
class DisjointMasks:
    """Segments that cannot overlap, as one map of the slot that each pixel belongs to."""

    segment_map: Any  # int [B, H, W], index into the image's segments, -1 for none
    num_slots: int  # N

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.segment_map.shape[-2], self.segment_map.shape[-1]

    def at_size(self, size: Size) -> Bool[Array, "b n h w"]:
        """All masks, resized by the rule of `resize.nearest_indices`."""
        small = take_grid(self.segment_map, *nearest_grid(self.size, size))
        slots = jnp.arange(self.num_slots, dtype=small.dtype).reshape(1, -1, 1, 1)
        return small[:, None] == slots

    def of_slot(self, slot: Int[Array, ""]) -> Bool[Array, "b H W"]:
        """The full-size mask of one slot of every image."""
        return self.segment_map == slot

    def at_points(
        self, points: Float[Array, "b p 2"], slots: Int[Array, " n"]
    ) -> Bool[Array, "b n p"]:
        """Whether points lie in the masks of some slots."""
        found = take_pixels(self.segment_map, *pixels_of_points(points, self.size))
        return found[:, None] == slots[None, :, None].astype(found.dtype)


@partial(jax.tree_util.register_dataclass, data_fields=("bits",), meta_fields=("size",))
@dataclass(frozen=True)
class PackedMasks:
    """Segments that may overlap, as one bit mask for each slot."""

    bits: Any  # uint8 [B, N, H, ceil(W / 8)], along the width, highest bit first
    size: Size

    @property
    def num_slots(self) -> int:
        """N."""
        return self.bits.shape[1]

    def at_size(self, size: Size) -> Bool[Array, "b n h w"]:
        """All masks, resized by the rule of `resize.nearest_indices`."""
        rows, columns = nearest_grid(self.size, size)
        small = take_grid(self.bits, rows, columns // 8)
        return _unpack(small, columns.reshape(1, 1, 1, -1))

    def of_slot(self, slot: Int[Array, ""]) -> Bool[Array, "b H W"]:
        """The full-size mask of one slot of every image."""
        bits = jax.lax.dynamic_index_in_dim(self.bits, slot, axis=1, keepdims=False)
        return unpack_masks(bits, self.size[1])

    def at_points(
        self, points: Float[Array, "b p 2"], slots: Int[Array, " n"]
    ) -> Bool[Array, "b n p"]:
        """Whether points lie in the masks of some slots."""
        rows, columns = pixels_of_points(points, self.size)
        bits = jnp.take(self.bits, slots, axis=1)
        found = take_pixels(bits, rows[:, None], columns[:, None] // 8)
        return _unpack(found, columns[:, None])


Masks = DisjointMasks | PackedMasks


def _unpack(values: Array, columns: Array | np.ndarray) -> Array:
    """From bytes, each holding the pixel of a column among others, the bits of these pixels."""
    shift = jnp.asarray(7 - columns % 8, jnp.uint8)
    return ((values >> shift) & 1).astype(bool)
