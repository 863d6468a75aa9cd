"""Training batches, prefetched by threads or worker processes.

The stream is a pure function of (seed, step): it does not depend on the number of threads or
workers, resuming needs only the step number, and n processes together read what one process would.
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

_PREFETCH = 4  # batches ready or in progress, in this process or in each worker
_MAX_SEED = 2**32


class TrainBatches:
    """An endless iterator over this process's share of the training batches.

    Use it as a context manager, or close it, to end the worker processes.
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
            # The traceback through threads and processes does not help to find the bad file.
            raise error.with_traceback(None) from None

    def close(self) -> None:
        """End threads and worker processes; closing again does nothing."""
        self._iterator.close()

    def __enter__(self) -> "TrainBatches":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def train_batches(
    config: Config,
    *,
    source: Source | None = None,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> TrainBatches:
    """Iterate over the batches for the updates `start_step`, `start_step` + 1, ...

    Every epoch is a new permutation of the whole data set, and batches may span two epochs. Process
    p of n gets the p-th of n equal blocks of the global batch, so that the order of rows does not
    depend on n (dropout draws by row).

    Args:
        config: `data`, `train.batch_size` and `train.seed` are used.
        source: the training split; opened here by default.
        start_step: number of updates already made.
        process_index: of this process.
        process_count: number of processes that share the global batch.

    Returns:
        `Batch`es of NumPy arrays with this process's rows of the global batch. Their height and
        width are `data.augment.crop_size`, or, with the mappers "coco_panoptic" and "instance", one
        of `grouping.padded_sizes`.

    Raises:
        UserError: the config or the data set is wrong; while iterating, an example is.
    """
    data, seed = config.data, config.train.seed
    local_size, rest = divmod(config.train.batch_size, process_count)
    if rest or local_size < 1:
        raise UserError(
            f"config.train.batch_size is {config.train.batch_size}, but must be a multiple of the "
            f"{process_count} processes"
        )
    if not 0 <= seed < _MAX_SEED:
        raise UserError(f"config.train.seed is {seed}, but must be in 0..{_MAX_SEED - 1}")
    info = load_dataset_info(data.dataset)
    source = source or open_source(data, data.train_split, info)
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
            # Slicing comes after everything random, so that each process draws for its elements
            # what a single process would draw.
            [process_index::process_count]
            [start_step:]
        )  # fmt: skip
    # Batching comes before this, so the order does not depend on the number of workers.
    stream = batches.to_iter_dataset(
        grain.ReadOptions(num_threads=data.num_threads, prefetch_buffer_size=_PREFETCH)
    )
    if data.num_workers > 0:
        stream = stream.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=data.num_workers, per_worker_buffer_size=2),
            worker_init_fn=_init_worker,
        )
    return TrainBatches(stream)


def batch_image_ids(config: Config, step: int) -> list[str]:
    """Return the image id of each row of the global batch for the update after `step` updates.

    Raises:
        UserError: as for `train_batches`.
    """
    data, size = config.data, config.train.batch_size
    source = open_source(data, data.train_split, load_dataset_info(data.dataset))
    if data.mapper in VARYING_MAPPERS:
        plan = _batch_order(config, source).plan(step)
        return [source[row.example].image_id for row in plan.rows]
    order = _shuffled(range(len(source)), config.train.seed)
    return [source[order[row]].image_id for row in range(step * size, (step + 1) * size)]


def _shuffled(source: Sequence[Any] | Source, seed: int) -> grain.MapDataset:
    # Repeating before batching lets a data set be smaller than a batch.
    return grain.MapDataset.source(source).shuffle(seed=seed).repeat()


def _batch_order(config: Config, source: Source) -> BatchOrder:
    # Sizes may have to be read from file headers; several reads at once are faster.
    with ThreadPoolExecutor(max(config.data.num_threads, 1)) as pool:
        sizes = np.array(list(pool.map(source.image_size, range(len(source)))))
    batch_size, seed = config.train.batch_size, config.train.seed
    return BatchOrder(sizes, config.data.augment, batch_size=batch_size, seed=seed)


class PaddedBatches:
    """Random access to a process's rows of batches of images that vary in size.

    Args:
        source: the examples.
        order: assigns examples to batches.
        config: the recipe.
        info: the data set.
        rows: this process's rows of the global batch.
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
    # Examples are processed in parallel already; threads inside OpenCV would only compete.
    cv2.setNumThreads(0)
    # Grain reads absl flags, which fails unless an absl app has parsed them (tests, notebooks).
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _init_worker(worker_index: int, worker_count: int) -> None:
    del worker_index, worker_count
    _prepare_process()
    # Ctrl-C and a scheduler's SIGTERM reach the whole process group; the parent handles them and
    # ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # A killed parent cannot close its workers, which would wait for it forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
