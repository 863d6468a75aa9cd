"""The order of training images where their sizes differ, as a function of the step alone.

As published, images wait in two queues, wide ones and others, and a queue that holds a batch gives
it away. Here the queue is chosen by the shape after augmentation, not before: a batch is then
padded to a wide or to a high rectangle, never to a square that holds both. How many images of each
kind an epoch holds is enough to find the batch of any step without going through those before it.
"""

import threading
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from maskformer_jax.config import AugmentConfig, Size
from maskformer_jax.data.geometry import Geometries, Geometry, draw_geometries

_EPOCHS_KEPT = 4
_BUCKET_STEP = 32  # pixels


class Row(NamedTuple):
    """One image of a batch."""

    example: int  # its place in the source
    geometry: Geometry


class BatchPlan(NamedTuple):
    """Which images a global batch holds and to which size it is padded."""

    rows: list[Row]
    size: Size


class _Epoch(NamedTuple):
    order: Any  # int64 [n], a permutation of the images
    geometries: Geometries  # by place in the order
    places: tuple[Any, Any]  # in the order, of the wide images and of the others


class BatchOrder:
    """Every batch of an endless training, by its step.

    Args:
        sizes: (height, width) of each image of the source.
        config: the recipe.
        batch_size: global.
        seed: decides order and augmentation.
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
        self._before: tuple[list[int], list[int]] = ([0], [0])  # images of a kind before an epoch
        self._batches_before = [0]
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        # Locks cannot be sent to workers, and what is kept is quickly found again.
        fresh: dict[str, Any] = {
            "_epochs": {},
            "_before": ([0], [0]),
            "_batches_before": [0],
            "_lock": None,
        }
        return self.__dict__ | fresh

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def plan(self, step: int) -> BatchPlan:
        """The batch for the update after `step` updates."""
        with self._lock:
            while self._batches_before[-1] <= step:
                self._count_epoch(len(self._batches_before) - 1)
            number = bisect_right(self._batches_before, step) - 1
            kind, batch = self._find_batch(number, step - self._batches_before[number])
            first = batch * self._batch_size
            rows = [self._take(kind, first + i) for i in range(self._batch_size)]
        height, width = np.max([row.geometry.size for row in rows], axis=0).tolist()
        size = next(
            bucket for bucket in self._buckets if height <= bucket[0] and width <= bucket[1]
        )
        return BatchPlan(rows, size)

    def _find_batch(self, number: int, which: int) -> tuple[int, int]:
        """The `which`-th batch that is completed in an epoch: its kind, and its number in that."""
        ends, batches = [], []
        for before, places in zip(self._before, self._epoch(number).places, strict=True):
            rank = before[number] + np.arange(len(places))
            is_last = (rank + 1) % self._batch_size == 0
            ends.append(places[is_last])
            batches.append(rank[is_last] // self._batch_size)
        found = int(np.argsort(np.concatenate(ends))[which])
        kind = int(found >= len(ends[0]))
        return kind, int(batches[kind][found - kind * len(ends[0])])

    def _take(self, kind: int, rank: int) -> Row:
        number = bisect_right(self._before[kind], rank) - 1
        epoch = self._epoch(number)
        place = int(epoch.places[kind][rank - self._before[kind][number]])
        return Row(int(epoch.order[place]), epoch.geometries.take(place))

    def _count_epoch(self, number: int) -> None:
        for before, places in zip(self._before, self._epoch(number).places, strict=True):
            before.append(before[-1] + len(places))
        self._batches_before.append(sum(before[-1] // self._batch_size for before in self._before))

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            rng = np.random.default_rng([self._seed, number])
            order = rng.permutation(len(self._sizes))
            geometries = draw_geometries(self._sizes[order], self._config, rng)
            is_wide = geometries.size[:, 0] < geometries.size[:, 1]
            places = (np.flatnonzero(is_wide), np.flatnonzero(~is_wide))
            while len(self._epochs) >= _EPOCHS_KEPT:
                del self._epochs[min(self._epochs)]
            self._epochs[number] = _Epoch(order, geometries, places)
        return self._epochs[number]


def padded_sizes(config: AugmentConfig) -> tuple[Size, ...]:
    """The sizes that batches of a recipe come in: its buckets, or one for each orientation."""
    if config.buckets:
        return config.buckets
    short, long = max(config.short_edges), config.max_size
    short, long = (-(-side // _BUCKET_STEP) * _BUCKET_STEP for side in (min(short, long), long))
    return ((short, long), (long, short))
