"""Evaluation images, decoded and resized by threads ahead of the device."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
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


class ImageShape(NamedTuple):
    """The sizes of an image before and after inference."""

    image_size: Size  # as resized for the network
    output_size: Size  # of its result, that of the original image


class EvalExample(NamedTuple):
    """An evaluation image resized for the network, with its annotations at the original size."""

    image_id: str
    image: Any  # uint8 [h, w, 3], RGB, resized for the network
    original_size: Size
    label_map: Any = None  # int32 [original h, original w], 0..K-1, -1 void
    panoptic: PanopticLabels | None = None
    instances: tuple[Instance, ...] | None = None
    source_id: int | str | None = None  # the id in the data set's JSON file, where it has one

    @property
    def shape(self) -> ImageShape:
        """The sizes of the image before and after inference."""
        height, width = self.image.shape[:2]
        return ImageShape((height, width), self.original_size)


class EvalExamples:
    """The images of the evaluation split; may be read repeatedly, in any order."""

    def __init__(self, source: Source, config: Config) -> None:
        self._source = source
        self._config = config

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out when the split was opened."""
        return self._source.notes

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[EvalExample]:
        return self.read(range(len(self)))

    @cached_property
    def shapes(self) -> list[ImageShape]:
        """The sizes of all images, from file headers or annotations: no image is decoded."""
        with ThreadPoolExecutor(max(self._config.data.num_threads, 1)) as pool:
            return list(pool.map(self._shape, range(len(self))))

    def read(self, order: Iterable[int]) -> Iterator[EvalExample]:
        """Read examples by their index, some of them ahead."""
        threads = max(self._config.data.num_threads, 1)
        indices = iter(order)
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

    def _shape(self, index: int) -> ImageShape:
        size = self._source.image_size(index)
        return ImageShape(eval_size(size, self._config.eval), size)

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
            source_id=example.source_id,
        )


class ExampleList:
    """Examples in memory, to be evaluated like those of a split."""

    def __init__(self, examples: Sequence[EvalExample]) -> None:
        self._examples = examples
        self.shapes = [example.shape for example in examples]

    def read(self, order: Iterable[int]) -> Iterator[EvalExample]:
        """The examples with these indices."""
        return (self._examples[index] for index in order)


def eval_examples(config: Config) -> EvalExamples:
    """Return the examples of the evaluation split.

    Raises:
        UserError: the data set is wrong; while reading, an example is.
    """
    data = config.data
    source = open_source(data, data.eval_split, load_dataset_info(data.dataset))
    # Examples are processed in parallel already; threads inside OpenCV would only compete.
    cv2.setNumThreads(0)
    return EvalExamples(source, config)


def eval_size(size: Size, config: EvalConfig) -> Size:
    """The size of an image with a shorter side of `short_edge`, the longer at most `max_size`."""
    if not config.short_edge:
        return size
    return shortest_edge_size(size, config.short_edge, config.max_size)


def resize_for_eval(
    image: UInt8[np.ndarray, "h w 3"], config: EvalConfig
) -> UInt8[np.ndarray, "new_h new_w 3"]:
    """Resize an image to its `eval_size`."""
    height, width = image.shape[:2]
    return resize_image(image, eval_size((height, width), config))
