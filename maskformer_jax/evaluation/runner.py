"""Running a model over a data set and collecting its metrics."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Int, UInt8

from maskformer_jax.categories import Category
from maskformer_jax.config import Config
from maskformer_jax.data.eval_examples import EvalExample, ImageShape
from maskformer_jax.distributed import is_primary
from maskformer_jax.errors import UserError
from maskformer_jax.evaluation.buckets import Bucket, BucketPool, Plan, plan_buckets, round_up
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import Outputs, crop_outputs
from maskformer_jax.evaluation.metrics import TaskMetrics
from maskformer_jax.evaluation.programs import Programs
from maskformer_jax.evaluation.views import add_views, expand_views, make_views, view_sizes
from maskformer_jax.progress import Progress
from maskformer_jax.types import Size

Image = UInt8[np.ndarray, "_ _ 3"]


@runtime_checkable
class Examples(Protocol):
    """What an evaluation reads: see `data.eval_examples.EvalExamples`."""

    @property
    def shapes(self) -> Sequence[ImageShape]:
        """The sizes of all images."""

    def read(self, order: Iterable[int]) -> Iterator[EvalExample]:
        """Read examples by their index."""


class Batch(NamedTuple):
    """Images that run together, by their index; at most as many as fit."""

    bucket: Bucket
    indices: list[int]


class Evaluator:
    """Runs a model on images of any sizes, in the programs of a few buckets.

    Args:
        model: a MaskFormer or a per-pixel baseline.
        config: its recipe; `eval` and `model` are used.
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
        self._config = config
        self._categories = tuple(categories)
        self._programs = Programs(
            model,
            config,
            categories=categories,
            devices=LocalDevices() if devices is None else devices,
        )

    @cached_property
    def _pool(self) -> BucketPool:
        return BucketPool(
            most=self._config.eval.max_programs,
            size_divisibility=self._config.model.size_divisibility,
        )

    def plan(self, shapes: Sequence[ImageShape], *, most: int | None = None) -> Plan:
        """Distribute images over buckets.

        Args:
            shapes: of the images.
            most: number of buckets, if less than `eval.max_programs`.
        """
        settings = self._config.eval
        options = {
            "size_divisibility": self._config.model.size_divisibility,
            "batch_size": self._programs.images_at_once,
        }
        if settings.shapes == "exact":
            limit = views_limit = None
        else:
            limit = min(most or settings.max_programs, settings.max_programs)
            if settings.tta.enabled:
                # Half of the programs for the images themselves, half for their views.
                limit, views_limit = max(limit // 2, 1), max(limit - limit // 2, 1)
        plan = plan_buckets(shapes, most=limit, **options)
        if settings.tta.enabled:
            plan = add_views(plan, shapes, settings.tta, most=views_limit, **options)
        return plan

    def bucket_for(self, shape: ImageShape) -> Bucket:
        """The bucket of one image among images of which nothing is known beforehand."""
        if self._config.eval.shapes == "exact":
            return self.plan([shape]).buckets[0]
        bucket = self._pool.find(shape)
        if not self._config.eval.tta.enabled:
            return bucket
        views = view_sizes(shape.image_size, self._config.eval.tta)
        return bucket._replace(
            views=tuple(round_up(ImageShape(size, shape.output_size)) for size in views)
        )

    def compile(self, variables: Any, buckets: Sequence[Bucket]) -> None:
        """Compile the programs of buckets side by side."""
        self._programs.compile(variables, buckets)

    def compile_first(self, variables: Any, buckets: Sequence[Bucket]) -> None:
        """Compile those of the first bucket and let the others follow."""
        self._programs.compile_first(variables, buckets)

    def batches(self, plan: Plan, *, process_index: int = 0, process_count: int = 1) -> list[Batch]:
        """Split the images of a plan into batches, and take those of one process.

        Every process has the same number of batches; the last ones may be empty.
        """
        size = self._programs.batch_size
        batches = [
            Batch(bucket, members[i : i + size])
            for bucket, members in zip(plan.buckets, plan.members, strict=True)
            for i in range(0, len(members), size)
        ]
        while len(batches) % process_count:
            batches.append(Batch(batches[-1].bucket, []))
        return batches[process_index::process_count]

    def run(
        self, variables: Any, bucket: Bucket, images: Sequence[Image], output_sizes: Sequence[Size]
    ) -> Callable[[], list[Outputs]]:
        """Start to segment images of one bucket.

        Args:
            variables: of the model.
            bucket: that holds them.
            images: as resized for the network; at most as many as fit into a batch.
            output_sizes: of their results.

        Returns:
            A function that waits for the results, NumPy arrays of the images' output sizes.
        """
        batch = self._stack(bucket, images, output_sizes)
        outputs = self._programs.infer(bucket)(variables, batch)
        if bucket.views:
            labels = self._run_views(variables, bucket, images, output_sizes)
            outputs = outputs._replace(semantic_tta=labels)

        def results() -> list[Outputs]:
            arrays = jax.tree.map(np.asarray, outputs)
            return [
                crop_outputs(jax.tree.map(lambda array, i=i: array[i], arrays), size)
                for i, size in enumerate(output_sizes)
            ]

        return results

    def run_adjustable(
        self, variables: Any, bucket: Bucket, image: Image, output_size: Size
    ) -> Callable[[float, float], Outputs]:
        """Run the network on one image and leave the thresholds open; arguments as for `run`.

        Returns:
            From `object_mask_threshold` and `overlap_threshold` to the results.
        """
        images, sizes = self._stack(bucket, [image], [output_size])
        predictions = self._programs.network(bucket)(variables, (images, sizes))

        def results(object_mask_threshold: float, overlap_threshold: float) -> Outputs:
            pair = (object_mask_threshold, overlap_threshold)
            thresholds = np.full((len(sizes), 2), pair, np.float32)
            outputs = self._programs.adjust(bucket)((), (predictions, sizes, thresholds))
            arrays = jax.tree.map(lambda array: np.asarray(array[0]), outputs)
            return crop_outputs(arrays, output_size)

        return results

    def evaluate(
        self,
        variables: Any,
        examples: Examples,
        *,
        on_result: Callable[[EvalExample, Outputs, TaskMetrics], None] | None = None,
        watch: Callable[[Sequence[Batch]], Iterable[Batch]] = iter,
    ) -> TaskMetrics:
        """Compute the task's metrics over this process's share of the examples.

        Args:
            variables: of the model.
            examples: with annotations at original size.
            on_result: called with each example, its results, which have no axis B, and the metrics
                of this image alone.
            watch: iterates over the batches, and may end the evaluation by an exception.

        Raises:
            UserError: an example lacks the annotation that the task needs.
        """
        settings = self._config.eval
        new_metrics = partial(
            TaskMetrics, settings.task, self._categories, augmented=settings.tta.enabled
        )
        metrics = new_metrics()
        shapes = examples.shapes
        plan = self.plan(shapes)
        self.compile(variables, plan.buckets)
        batches = self.batches(
            plan, process_index=jax.process_index(), process_count=jax.process_count()
        )
        reader = examples.read([index for batch in batches for index in batch.indices])
        total = sum(len(batch.indices) for batch in batches)

        def finish(group: list[EvalExample], results: Callable[[], list[Outputs]]) -> None:
            for example, outputs in zip(group, results(), strict=True):
                of_image = new_metrics()
                of_image.add(example, outputs)
                metrics.merge(of_image)
                if on_result is not None:
                    on_result(example, outputs, of_image)
            progress.update(len(group))

        with Progress(
            total, description="evaluate", unit="image", enabled=is_primary()
        ) as progress:
            waiting: tuple[list[EvalExample], Callable[[], list[Outputs]]] | None = None
            for batch in watch(batches):
                group = [_read(reader, shapes[index]) for index in batch.indices]
                images = [example.image for example in group]
                sizes = [example.original_size for example in group]
                started = None
                if group:
                    started = (group, self.run(variables, batch.bucket, images, sizes))
                # The device works on this batch while the host scores the one before.
                if waiting is not None:
                    finish(*waiting)
                waiting = started
            if waiting is not None:
                finish(*waiting)
        return metrics

    def _run_views(
        self,
        variables: Any,
        bucket: Bucket,
        images: Sequence[Image],
        output_sizes: Sequence[Size],
    ) -> Any:
        settings = self._config.eval.tta
        views = expand_views(bucket, settings)
        of_images = [list(make_views(image, settings)) for image in images]
        inputs = []
        # All views are kept as logits, which are small, until the last has been run.
        for number, (view_bucket, _) in enumerate(views):
            batch, sizes = self._stack(
                view_bucket, [made[number][0] for made in of_images], output_sizes
            )
            network = self._programs.network(view_bucket)
            inputs.append((network(variables, (batch, sizes)), sizes))
        return self._programs.augment(views)((), inputs)

    def _stack(
        self, bucket: Bucket, images: Sequence[Image], output_sizes: Sequence[Size]
    ) -> tuple[UInt8[np.ndarray, "b _ _ 3"], Int[np.ndarray, "b 3 2"]]:
        """A full batch and its sizes; blank images fill it up."""
        batch = np.zeros((self._programs.batch_size, *bucket.image_size, 3), np.uint8)
        blank = (self._programs.padded(bucket.image_size), bucket.image_size, (0, 0))
        sizes = np.array([blank] * len(batch), np.int32)
        for i, (image, output_size) in enumerate(zip(images, output_sizes, strict=True)):
            height, width = image.shape[:2]
            batch[i, :height, :width] = image
            sizes[i] = self._programs.padded((height, width)), (height, width), output_size
        return batch, sizes


def _read(reader: Iterator[EvalExample], shape: ImageShape) -> EvalExample:
    example = next(reader)
    if example.shape != shape:
        raise UserError(
            f"the image of '{example.image_id}' is {example.original_size} (height, width), but "
            f"its header or annotation says {shape.output_size}"
        )
    return example
