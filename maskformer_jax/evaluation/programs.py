"""The compiled programs of an evaluation, one for each bucket."""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from maskformer_jax.categories import Category
from maskformer_jax.config import Config, Size
from maskformer_jax.distributed import is_primary
from maskformer_jax.evaluation.buckets import Bucket
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import (
    Program,
    make_adjustable,
    make_augmented,
    make_inference,
    make_network,
    make_prediction,
    most_maps,
)
from maskformer_jax.evaluation.views import Views, expand_views
from maskformer_jax.models.build import inference_model
from maskformer_jax.postprocess.image_sizes import ImageSizes, SizeBounds, map_work
from maskformer_jax.postprocess.row_bands import count_bands
from maskformer_jax.precision import precision_of_masks, resolve_precision
from maskformer_jax.progress import Progress
from maskformer_jax.resize import padded_size

MOST_THREADS = 8  # that compile at a time
CACHE_SECONDS = 2.0  # a program that takes longer was not in the cache on disk


class Programs:
    """Compiles what an evaluation runs, ahead of it or when it is first needed.

    Args:
        model: a MaskFormer or a per-pixel baseline.
        config: its recipe.
        categories: K categories in label order.
        devices: over which batches are spread.
    """

    def __init__(
        self,
        model: nn.Module,
        config: Config,
        *,
        categories: Sequence[Category],
        devices: LocalDevices,
    ) -> None:
        self._config = config
        self._categories = tuple(categories)
        self._devices = devices
        precision = resolve_precision(
            config.model.matmul_precision, compute_dtype=config.model.compute_dtype, train=False
        )
        self._network = make_network(inference_model(model).apply, precision=precision)
        self._map_work = map_work(devices.platform, precision_of_masks(precision))
        # A CPU gains little by a batch, at the price of its memory and of last bits.
        self._one_by_one = devices.platform == "cpu"
        self._compiled: dict[Hashable, Future[Any]] = {}
        self._tracing = threading.Lock()

    def infer(self, bucket: Bucket) -> Program:
        """From variables and (images, sizes) to `Outputs`."""
        return self._runner(_inference_key(bucket), lambda: self._inference(bucket))

    def network(self, bucket: Bucket) -> Program:
        """From variables and (images, sizes) to the last layer's predictions."""
        return self._runner(_network_key(bucket), lambda: self._prediction(bucket))

    def augment(self, views: Views) -> Program:
        """From (unused variables and) predictions and sizes of all views to labels."""
        return self._runner(_augmented_key(views), lambda: self._augmented(views))

    def adjust(self, bucket: Bucket) -> Program:
        """From (unused variables and) predictions, sizes and thresholds to `Outputs`."""
        return self._runner(
            ("adjust", bucket._replace(views=())),
            lambda: make_adjustable(self._config.eval, self._categories, sizes=self.sizes(bucket)),
        )

    def lower(self, variables: Any, bucket: Bucket) -> jax.stages.Lowered:
        """Lower the program of `infer` for variables, or their shapes, without compiling it."""
        return self._lower(_Job(self._inference(bucket), variables, self._blank_batch(bucket)))

    def count_bands(self, bucket: Bucket) -> int:
        """The bands of rows in which post-processing computes a result of the largest size."""
        bounds = self.sizes(bucket)
        if isinstance(bounds, SizeBounds):
            sizes = ImageSizes(bounds.padded_size, bucket.image_size, bucket.output_size, bounds)
        else:
            sizes = bounds
        model = self._config.model
        masked = model.head == "mask_classification"
        channels = most_maps(
            self._config.eval,
            num_queries=model.transformer_decoder.num_queries if masked else None,
            num_classes=len(self._categories),
        )
        return count_bands(sizes, channels=channels)

    def compile(self, variables: Any, buckets: Sequence[Bucket]) -> None:
        """Compile all programs of buckets side by side, with a progress line."""
        jobs = self._missing(variables, buckets)
        if not jobs:
            return
        self._start(jobs)
        with _progress(len(jobs)) as progress:
            for key in jobs:
                self._compiled[key].result()
                progress.update()

    def compile_first(self, variables: Any, buckets: Sequence[Bucket]) -> None:
        """Compile the programs of the first bucket, with a progress line.

        Those of the others are compiled meanwhile, and whoever uses them waits. Where the first
        come out of the cache on disk, the others are left until they are needed.
        """
        first = self._missing(variables, buckets[:1])
        if not first:
            self._start(self._missing(variables, buckets))
            return
        with _progress(len(first)) as progress, ThreadPoolExecutor(len(first)) as pool:
            lowered = {key: self._lower(job) for key, job in first.items()}
            self._compiled |= {key: pool.submit(one.compile) for key, one in lowered.items()}
            futures = [self._compiled[key] for key in first]
            if wait(futures, timeout=CACHE_SECONDS).not_done:
                self._start(self._missing(variables, buckets))
            for future in futures:
                future.result()
                progress.update()

    def sizes(self, bucket: Bucket) -> ImageSizes | SizeBounds:
        """The bounds of the sizes of images; with `eval.shapes` "exact" the sizes themselves."""
        padded = self.padded(bucket.image_size)
        if self._config.eval.shapes == "exact":
            return ImageSizes(padded, bucket.image_size, bucket.output_size)
        return SizeBounds(padded, bucket.output_size, bucket.shrinkage, self._map_work)

    def padded(self, image_size: Size) -> Size:
        """The size to which the network pads an image."""
        return padded_size(image_size, self._config.model.size_divisibility)

    @property
    def batch_size(self) -> int:
        """Images in a batch, those of all devices."""
        return self._config.eval.batch_size * len(self._devices)

    @property
    def images_at_once(self) -> int:
        """Images that cost what their whole batch costs, blank ones included."""
        return 1 if self._one_by_one else self.batch_size

    def _jobs(self, variables: Any, bucket: Bucket) -> Iterator[tuple[Hashable, "_Job"]]:
        """What a bucket needs: its key, and what is compiled."""
        batch = self._blank_batch(bucket)
        yield _inference_key(bucket), _Job(self._inference(bucket), variables, batch)
        inputs = []
        for view in bucket.views:
            job = _Job(self._prediction(view), variables, self._blank_batch(view))
            yield _network_key(view), job
            inputs.append((jax.eval_shape(job.program, variables, job.batch), job.batch[1]))
        if bucket.views:
            views = expand_views(bucket, self._config.eval.tta)
            repeated = [one for one in inputs for _ in range(len(views) // len(inputs))]
            yield _augmented_key(views), _Job(self._augmented(views), (), repeated)

    def _inference(self, bucket: Bucket) -> Program:
        return make_inference(
            self._network,
            self._config.eval,
            self._categories,
            sizes=self.sizes(bucket),
            exact=bucket.exact,
            one_by_one=self._one_by_one,
        )

    def _prediction(self, bucket: Bucket) -> Program:
        return make_prediction(self._network, exact=bucket.exact, one_by_one=self._one_by_one)

    def _augmented(self, views: Views) -> Program:
        return make_augmented(
            self._config.eval, [(self.sizes(bucket), mirrored) for bucket, mirrored in views]
        )

    def _blank_batch(self, bucket: Bucket) -> tuple[Any, Any]:
        images = jax.ShapeDtypeStruct((self.batch_size, *bucket.image_size, 3), np.uint8)
        sizes = jax.ShapeDtypeStruct((self.batch_size, 3, 2), np.int32)
        return images, sizes

    def _runner(self, key: Hashable, make: Callable[[], Program]) -> Program:
        def run(variables: Any, batch: Any) -> Any:
            if key not in self._compiled:
                self._start({key: _Job(make(), variables, batch)})
            return self._compiled[key].result()(variables, self._devices.split(batch))

        return run

    def _missing(self, variables: Any, buckets: Sequence[Bucket]) -> dict[Hashable, "_Job"]:
        """What is not compiled of what these buckets need."""
        return {
            key: job
            for bucket in buckets
            for key, job in self._jobs(variables, bucket)
            if key not in self._compiled
        }

    def _start(self, jobs: dict[Hashable, "_Job"]) -> None:
        """Compile in threads."""
        pool = ThreadPoolExecutor(MOST_THREADS)
        self._compiled |= {key: pool.submit(self._compile, job) for key, job in jobs.items()}
        pool.shutdown(wait=False)

    def _compile(self, job: "_Job") -> Any:
        return self._lower(job).compile()

    def _lower(self, job: "_Job") -> jax.stages.Lowered:
        # Tracing is Python, of which one thread runs at a time: one after another, the first
        # program is ready soonest. The compiler itself works side by side.
        with self._tracing:
            return self._devices.lower(job.program, job.variables, job.batch)


def _progress(total: int) -> Progress:
    return Progress(total, description="compile", unit="program", enabled=is_primary())


class _Job(NamedTuple):
    """A program and its arguments, or their shapes."""

    program: Program
    variables: Any
    batch: Any


def _inference_key(bucket: Bucket) -> Hashable:
    return "inference", bucket._replace(views=())


def _network_key(bucket: Bucket) -> Hashable:
    return "network", bucket.image_size, bucket.exact


def _augmented_key(views: Views) -> Hashable:
    return "augmented", views
