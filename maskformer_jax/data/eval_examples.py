"""Evaluation images, decoded and resized by threads ahead of the device."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from maskformer_jax.config import Config, EvalConfig
from maskformer_jax.data.example import Instance, PanopticLabels, Source
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.data.sources import open_source
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.types import Size


class EvalExample(NamedTuple):
    """An evaluation image resized for the network, with its annotations at the original size."""

    image_id: str
    image: Any  # uint8 [h, w, 3], RGB, resized for the network
    original_size: Size
    label_map: Any = None  # int32 [original h, original w], 0..K-1, -1 void
    panoptic: PanopticLabels | None = None
    instances: tuple[Instance, ...] | None = None


class EvalExamples:
    """The evaluation images of one process in a fixed order; may be iterated repeatedly."""

    def __init__(self, source: Source, indices: range, config: Config) -> None:
        self._source = source
        self._indices = indices
        self._config = config

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[EvalExample]:
        threads = max(self._config.data.num_threads, 1)
        indices = iter(self._indices)
        with ThreadPoolExecutor(threads) as pool:
            pending: deque[Future[EvalExample]] = deque()
            try:
                for index in islice(indices, 2 * threads):
                    pending.append(pool.submit(self._read, index))
                while pending:
                    example = pending.popleft().result()
                    for index in islice(indices, 1):
                        pending.append(pool.submit(self._read, index))
                    yield example
            finally:
                for future in pending:
                    future.cancel()

    def _read(self, index: int) -> EvalExample:
        example = self._source[index]
        image = resize_for_eval(example.image, self._config.eval)
        return EvalExample(
            image_id=example.image_id,
            image=image,
            original_size=example.image.shape[:2],
            label_map=example.label_map,
            panoptic=example.panoptic,
            instances=example.instances,
        )


def eval_examples(
    config: Config, *, process_index: int = 0, process_count: int = 1
) -> EvalExamples:
    """Return this process's examples of the evaluation split.

    Process p of n gets examples p, p + n, p + 2n, ..., so shares differ by at most one.

    Raises:
        UserError: the data set is wrong; while iterating, an example is.
    """
    data = config.data
    source = open_source(data, data.eval_split, load_dataset_info(data.dataset))
    # Examples are processed in parallel already; threads inside OpenCV would only compete.
    cv2.setNumThreads(0)
    return EvalExamples(source, range(process_index, len(source), process_count), config)


def resize_for_eval(
    image: UInt8[np.ndarray, "h w 3"], config: EvalConfig
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Resize an image to a shorter side of `short_edge`, its longer side at most `max_size`."""
    size = shortest_edge_size(image.shape[:2], config.short_edge, config.max_size)
    return resize_image(image, size)
