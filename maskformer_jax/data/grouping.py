"""Batches of images that vary in size, as a function of the step alone.

The published code queues images by aspect ratio, wide ones and others, and emits a batch as soon as
a queue holds enough. Here the aspect ratio is that after augmentation, not before, so a batch is
padded to a landscape or a portrait rectangle, never to a square that holds both. The number of
images of each orientation per epoch is enough to find the batch of any step directly.
"""

import threading
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from maskformer_jax.config import AugmentConfig
from maskformer_jax.data.geometry import Geometries, Geometry, draw_geometries
from maskformer_jax.types import Size

_CACHED_EPOCHS = 4
_BUCKET_STEP = 32  # pixels


class Row(NamedTuple):
    """One image of a batch."""

    example: int  # its index in the source
    geometry: Geometry


class BatchPlan(NamedTuple):
    """The images of a global batch and the size to which they are padded."""

    rows: list[Row]
    size: Size


class _Epoch(NamedTuple):
    order: Any  # int64 [n], a permutation of the images
    geometries: Geometries  # by position in the order
    positions: tuple[Any, Any]  # in the order, of the wide images and of the others


class BatchOrder:
    """The batch of every step of an endless training.

    Args:
        sizes: (height, width) of each image of the source.
        config: the recipe.
        batch_size: global.
        seed: of order and augmentation.
    """

    def __init__(
        self, sizes: Int[np.ndarray, "n 2"], config: AugmentConfig, *, batch_size: int, seed: int
    ) -> None:
        self._sizes = sizes
        self._config = config
        self._batch_size = batch_size
        self._seed = seed
        self._buckets = sorted(padded_sizes(config), key=lambda size: size[0] * size[1])
        self._epochs: dict[int, _Epoch] = {}
        # Images of each orientation, and batches, before each epoch counted so far.
        self._images_before: tuple[list[int], list[int]] = ([0], [0])
        self._batches_before = [0]
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        # A lock cannot be pickled, and caches are quick to recompute.
        fresh: dict[str, Any] = {
            "_epochs": {},
            "_images_before": ([0], [0]),
            "_batches_before": [0],
            "_lock": None,
        }
        return self.__dict__ | fresh

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def plan(self, step: int) -> BatchPlan:
        """Plan the batch for the update that follows `step` updates."""
        with self._lock:
            while self._batches_before[-1] <= step:
                self._count_epoch(len(self._batches_before) - 1)
            epoch = bisect_right(self._batches_before, step) - 1
            orientation, batch = self._find_batch(epoch, step - self._batches_before[epoch])
            first = batch * self._batch_size
            rows = [self._take(orientation, first + i) for i in range(self._batch_size)]
        height, width = np.max([row.geometry.size for row in rows], axis=0).tolist()
        size = next(
            bucket for bucket in self._buckets if height <= bucket[0] and width <= bucket[1]
        )
        return BatchPlan(rows, size)

    def _find_batch(self, epoch: int, index: int) -> tuple[int, int]:
        """Return the orientation and the number of the `index`-th batch completed in an epoch."""
        ends, batches = [], []
        for before, positions in zip(
            self._images_before, self._epoch(epoch).positions, strict=True
        ):
            rank = before[epoch] + np.arange(len(positions))
            is_last = (rank + 1) % self._batch_size == 0
            ends.append(positions[is_last])
            batches.append(rank[is_last] // self._batch_size)
        found = int(np.argsort(np.concatenate(ends))[index])
        orientation = int(found >= len(ends[0]))
        return orientation, int(batches[orientation][found - orientation * len(ends[0])])

    def _take(self, orientation: int, rank: int) -> Row:
        """Return the image of this rank among all images of one orientation, over all epochs."""
        before = self._images_before[orientation]
        number = bisect_right(before, rank) - 1
        epoch = self._epoch(number)
        position = int(epoch.positions[orientation][rank - before[number]])
        return Row(int(epoch.order[position]), epoch.geometries.take(position))

    def _count_epoch(self, number: int) -> None:
        for before, positions in zip(
            self._images_before, self._epoch(number).positions, strict=True
        ):
            before.append(before[-1] + len(positions))
        batches = sum(before[-1] // self._batch_size for before in self._images_before)
        self._batches_before.append(batches)

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            rng = np.random.default_rng([self._seed, number])
            order = rng.permutation(len(self._sizes))
            geometries = draw_geometries(self._sizes[order], self._config, rng)
            is_wide = geometries.size[:, 0] < geometries.size[:, 1]
            positions = (np.flatnonzero(is_wide), np.flatnonzero(~is_wide))
            while len(self._epochs) >= _CACHED_EPOCHS:
                del self._epochs[min(self._epochs)]
            self._epochs[number] = _Epoch(order, geometries, positions)
        return self._epochs[number]


def padded_sizes(config: AugmentConfig) -> tuple[Size, ...]:
    """Return the sizes of a recipe's batches: its buckets, or one size for each orientation."""
    if config.buckets:
        return config.buckets
    short, long = max(config.short_edges), config.max_size
    short, long = (-(-side // _BUCKET_STEP) * _BUCKET_STEP for side in (min(short, long), long))
    return ((short, long), (long, short))
