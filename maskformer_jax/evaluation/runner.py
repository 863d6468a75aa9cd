"""Running a model over a data set and collecting its metrics."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from maskformer_jax.categories import Category
from maskformer_jax.config import Config, Size, TTAConfig
from maskformer_jax.data.eval_examples import EvalExample
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import (
    Outputs,
    make_augmented,
    make_network,
    make_postprocess,
)
from maskformer_jax.evaluation.metrics import TaskMetrics
from maskformer_jax.postprocess import ImageSizes, View
from maskformer_jax.progress import Progress
from maskformer_jax.resize import padded_size
from maskformer_jax.types import Predictions

_MAX_WAITING = 256  # examples held back until a batch of their size is full


class EvalGroup(NamedTuple):
    """Examples that share a batch: equal input sizes and equal output sizes."""

    examples: list[EvalExample]
    images: np.ndarray  # uint8 [B, H, W, 3], padded with blank images to the full batch size
    output_size: Size


class Evaluator:
    """Runs a model on examples; compiles the network once per input size.

    Args:
        model: a MaskFormer or a per-pixel baseline.
        config: its recipe; `eval` and `model.size_divisibility` are used.
        categories: K categories in label order.
        devices: devices that share the work; each takes `eval.batch_size` images at a time.
    """

    def __init__(
        self,
        model: nn.Module,
        config: Config,
        *,
        categories: Sequence[Category],
        devices: LocalDevices | None = None,
    ) -> None:
        self._model = model
        self._config = config
        self._categories = tuple(categories)
        self._devices = LocalDevices() if devices is None else devices
        self._postprocess = lru_cache(maxsize=None)(self._compile_postprocess)
        self._augmented = lru_cache(maxsize=None)(self._compile_augmented)

    @cached_property
    def _network(self) -> Callable[[Any, Any], Predictions]:
        return self._devices.spread(make_network(self._model.apply))

    def predict(self, variables: Any, group: EvalGroup) -> Outputs:
        """The results of a group as NumPy arrays with a leading axis B, at the output size."""
        predictions = self._run_network(variables, group.images)
        outputs = self._postprocess(self._sizes(group.images, group.output_size))((), predictions)
        if self._config.eval.tta.enabled:
            outputs = outputs._replace(semantic_tta=self._predict_augmented(variables, group))
        return jax.tree.map(np.asarray, outputs)

    def _predict_augmented(self, variables: Any, group: EvalGroup) -> Any:
        batches = list(make_views(group.images, self._config.eval.tta))
        # All views are kept as logits, which are small, until the last has been run.
        predictions = tuple(self._run_network(variables, images) for images, _ in batches)
        views = tuple(
            View(self._sizes(images, group.output_size), mirrored) for images, mirrored in batches
        )
        return self._augmented(views)((), predictions)

    def _run_network(self, variables: Any, images: np.ndarray) -> Predictions:
        multiple = self._config.eval.size_multiple
        if not multiple:
            return self._network(variables, (images, None))
        size = padded_size(images.shape[1:3], multiple)
        padded = np.zeros((len(images), *size, 3), np.uint8)
        padded[:, : images.shape[1], : images.shape[2]] = images
        valid = np.zeros(padded.shape[:3], bool)
        valid[:, : images.shape[1], : images.shape[2]] = True
        return self._network(variables, (padded, valid))

    def _sizes(self, images: np.ndarray, output_size: Size) -> ImageSizes:
        image_size = images.shape[1:3]
        size = padded_size(image_size, self._config.eval.size_multiple)
        size = padded_size(size, self._config.model.size_divisibility)
        return ImageSizes(size, image_size, output_size)

    def evaluate(
        self,
        variables: Any,
        examples: Iterable[EvalExample],
        *,
        total: int | None = None,
        on_result: Callable[[EvalExample, Outputs], None] | None = None,
    ) -> TaskMetrics:
        """Compute the task's metrics over all examples.

        Args:
            variables: of the model.
            examples: with annotations at original size.
            total: number of examples, for the progress display.
            on_result: called with each example and its results, which have no axis B.

        Raises:
            UserError: an example lacks the annotation that the task needs.
        """
        settings = self._config.eval
        metrics = TaskMetrics(settings.task, self._categories, augmented=settings.tta.enabled)
        group_size = settings.batch_size * len(self._devices)
        with Progress(
            total, description="evaluate", unit="image", enabled=is_primary()
        ) as progress:
            for group in group_examples(examples, group_size):
                outputs = self.predict(variables, group)
                for i, example in enumerate(group.examples):
                    result = jax.tree.map(lambda array, i=i: array[i], outputs)
                    metrics.add(example, result)
                    if on_result is not None:
                        on_result(example, result)
                progress.update(len(group.examples))
        return metrics

    def _compile_postprocess(self, sizes: ImageSizes) -> Callable[[Any, Any], Outputs]:
        return self._devices.spread(
            make_postprocess(self._config.eval, self._categories, sizes=sizes)
        )

    def _compile_augmented(self, views: tuple[View, ...]) -> Callable[[Any, Any], Any]:
        return self._devices.spread(make_augmented(self._config.eval, views))


def make_views(images: np.ndarray, settings: TTAConfig) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the views of a batch, uint8 [B, h, w, 3], and whether they are mirrored.

    Sizes come in the order of `short_edges`, each plain and then mirrored. As published, all are
    made from the images as resized for evaluation, not from the original files.
    """
    for short_edge in settings.short_edges:
        size = shortest_edge_size(images.shape[1:3], short_edge, settings.max_size)
        resized = np.stack([resize_image(image, size) for image in images])
        yield resized, False
        if settings.flip:
            yield np.ascontiguousarray(resized[:, :, ::-1]), True


def merge_processes(metrics: TaskMetrics) -> TaskMetrics:
    """Merge the metrics of all processes; every process must call this."""
    first, *others = gather(metrics)
    for other in others:
        first.merge(other)
    return first


def group_examples(examples: Iterable[EvalExample], batch_size: int) -> Iterator[EvalGroup]:
    """Yield batches of examples of equal sizes; incomplete, padded ones mostly at the end.

    When 256 examples are waiting, the largest incomplete batch is yielded early, so that
    memory does not grow with the data set.
    """
    waiting: dict[tuple[Size, Size], list[EvalExample]] = {}
    for example in examples:
        key = (example.image.shape[:2], example.original_size)
        waiting.setdefault(key, []).append(example)
        if len(waiting[key]) == batch_size:
            yield _stack(waiting.pop(key), batch_size)
        elif sum(map(len, waiting.values())) >= _MAX_WAITING:
            fullest = max(waiting, key=lambda size: len(waiting[size]))
            yield _stack(waiting.pop(fullest), batch_size)
    for rest in waiting.values():
        yield _stack(rest, batch_size)


def _stack(examples: list[EvalExample], batch_size: int) -> EvalGroup:
    images = np.zeros((batch_size, *examples[0].image.shape), np.uint8)
    for slot, example in zip(images, examples, strict=False):
        slot[...] = example.image
    return EvalGroup(examples, images, examples[0].original_size)
