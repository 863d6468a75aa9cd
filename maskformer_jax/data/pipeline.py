"""Training batches, decoded ahead of the device.

The stream is a pure function of (seed, step): it does not depend on the number of threads
or worker processes, resuming at a step needs nothing but its number, and n processes together read
what one would.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import wait
from typing import Any

import cv2
import grain
import numpy as np
from absl import flags

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.config import Config, DataConfig
from maskformer_jax.config.data import VARYING_MAPPERS
from maskformer_jax.data.example import Source
from maskformer_jax.data.grouping import BatchOrder
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.samples import make_crop, make_padded, stack_rows
from maskformer_jax.data.sources import open_source
from maskformer_jax.errors import UserError
from maskformer_jax.types import Batch

_BATCHES_AHEAD = 4  # ready or in the making, in this process or in each worker
_MAX_SEED = 2**32


class TrainBatches:
    """An endless iterator over this process's share of the training batches.

    Close it, or use it as a context manager: that ends the worker processes.
    """

    def __init__(self, batches: grain.IterDataset) -> None:
        self._iterator = iter(batches)

    def __iter__(self) -> "TrainBatches":
        return self

    def __next__(self) -> Batch:
        try:
            return next(self._iterator)
        except UserError as error:
            self.close()
            # The traceback through threads and processes says nothing about the bad file.
            raise error.with_traceback(None) from None

    def close(self) -> None:
        """Ends threads and worker processes. Closing twice does nothing more."""
        self._iterator.close()

    def __enter__(self) -> "TrainBatches":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def train_batches(
    config: Config, *, start_step: int = 0, process_index: int = 0, process_count: int = 1
) -> TrainBatches:
    """The batches for the updates `start_step`, `start_step` + 1, ...

    Every epoch is a new permutation of the whole data set, and batches go on across its end.
    Process p of n gets the p-th of n equal blocks of the global batch, so that the rows stand in
    the same order whatever n is (dropout draws by row).

    Args:
        config: `data`, `train.batch_size` and `train.seed` are used.
        start_step: updates done before.
        process_index: of this process.
        process_count: how many processes share the global batch.

    Returns:
        `Batch`es of NumPy arrays, their B being the local part of the batch, their size
        `data.augment.crop_size`, or for the mappers "coco_panoptic" and "instance" one of a few.

    Raises:
        UserError: the config or the data set is wrong; while iterating, an example is.
    """
    data, seed = config.data, config.train.seed
    local_size, rest = divmod(config.train.batch_size, process_count)
    if rest or local_size < 1:
        raise UserError(
            f"train.batch_size is {config.train.batch_size}, but must be a multiple of the "
            f"{process_count} processes"
        )
    if not 0 <= seed < _MAX_SEED:
        raise UserError(f"train.seed is {seed}, but must be in 0..{_MAX_SEED - 1}")
    info = load_dataset_info(data.dataset)
    source = open_source(data, data.train_split, info)
    _prepare_process()
    if data.mapper in VARYING_MAPPERS:
        first = process_index * local_size
        order = _batch_order(config, source)
        padded = PaddedBatches(source, order, data, info, range(first, first + local_size))
        batches = grain.MapDataset.source(padded)[start_step:]
    else:
        batches = (
            _shuffled(source, seed)
            .seed(seed)
            .random_map(partial(make_crop, config=data))
            .batch(local_size, drop_remainder=True, batch_fn=stack_rows)
            # Only now, after everything random: each process draws for its own elements what one
            # process alone would have drawn for them.
            [process_index::process_count]
            [start_step:]
        )  # fmt: skip
    # Batching before this makes the order independent of the number of workers.
    stream = batches.to_iter_dataset(
        grain.ReadOptions(num_threads=data.num_threads, prefetch_buffer_size=_BATCHES_AHEAD)
    )
    if data.num_workers > 0:
        stream = stream.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=data.num_workers, per_worker_buffer_size=2),
            worker_init_fn=_init_worker,
        )
    return TrainBatches(stream)


def batch_image_ids(config: Config, step: int) -> list[str]:
    """Which images the global batch of the update after `step` updates holds, row by row.

    Raises:
        UserError: as `train_batches`.
    """
    data, size = config.data, config.train.batch_size
    source = open_source(data, data.train_split, load_dataset_info(data.dataset))
    if data.mapper in VARYING_MAPPERS:
        plan = _batch_order(config, source).plan(step)
        return [source[row.example].image_id for row in plan.rows]
    order = _shuffled(range(len(source)), config.train.seed)
    return [source[order[row]].image_id for row in range(step * size, (step + 1) * size)]


def _shuffled(source: Sequence[Any] | Source, seed: int) -> grain.MapDataset:
    # Repeated before batching, so that a data set smaller than a batch works too.
    return grain.MapDataset.source(source).shuffle(seed=seed).repeat()


def _batch_order(config: Config, source: Source) -> BatchOrder:
    # Where a header must be read for each, disks and servers answer several at once faster.
    with ThreadPoolExecutor(max(config.data.num_threads, 1)) as pool:
        sizes = np.array(list(pool.map(source.image_size, range(len(source)))))
    batch_size, seed = config.train.batch_size, config.train.seed
    return BatchOrder(sizes, config.data.augment, batch_size=batch_size, seed=seed)


class PaddedBatches:
    """Random access to a process's share of batches of images that vary in size.

    Args:
        source: the examples.
        order: which are in which batch.
        config: the recipe.
        info: the data set.
        rows: this process's part of the global batch.
    """

    def __init__(
        self,
        source: Source,
        order: BatchOrder,
        config: DataConfig,
        info: DatasetInfo,
        rows: range,
    ) -> None:
        self._source = source
        self._order = order
        self._config = config
        self._info = info
        self._rows = rows

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, step: int) -> Batch:
        plan = self._order.plan(step)
        return stack_rows(
            [
                make_padded(
                    self._source[example],
                    geometry,
                    size=plan.size,
                    config=self._config,
                    info=self._info,
                )
                for example, geometry in plan.rows[self._rows.start : self._rows.stop]
            ]
        )


def _prepare_process() -> None:
    # Examples are made side by side already; threads inside OpenCV would only compete.
    cv2.setNumThreads(0)
    # Grain reads absl flags, which fails where no absl app has parsed them (tests, notebooks).
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _init_worker(worker_index: int, worker_count: int) -> None:
    del worker_index, worker_count
    _prepare_process()
    # Ctrl-C and a scheduler's SIGTERM reach the whole group; the parent handles them and ends its
    # workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # A killed parent cannot close its workers, and they would wait for it for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
