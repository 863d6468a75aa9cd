"""The compiled programs of an evaluation, one for each bucket."""

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from flax import linen as nn

from maskformer_jax.categories import Category
from maskformer_jax.config import Config, Size
from maskformer_jax.distributed import is_primary
from maskformer_jax.evaluation.buckets import Bucket
from maskformer_jax.evaluation.devices import LocalDevices
from maskformer_jax.evaluation.inference import (
    Program,
    make_augmented,
    make_inference,
    make_network,
)
from maskformer_jax.models.build import inference_model
from maskformer_jax.postprocess.image_sizes import ImageSizes, SizeBounds
from maskformer_jax.precision import resolve_precision
from maskformer_jax.progress import Progress
from maskformer_jax.resize import padded_size


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
        self._compiled: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def infer(self, bucket: Bucket) -> Program:
        """From variables and (images, sizes) to `Outputs`."""
        return self._runner(("inference", bucket), lambda: self._inference(bucket))

    def network(self, bucket: Bucket) -> Program:
        """From variables and (images, extent) to the last layer's predictions."""
        return self._runner(("network", bucket.image_size, bucket.exact), lambda: self._network)

    def augment(self, views: tuple[tuple[Bucket, bool], ...]) -> Program:
        """From (unused variables and) predictions and sizes of all views to labels."""
        return self._runner(
            ("augmented", views),
            lambda: make_augmented(
                self._config.eval, [(self.sizes(bucket), mirrored) for bucket, mirrored in views]
            ),
        )

    def compile(self, variables: Any, buckets: Sequence[Bucket]) -> None:
        """Compile the programs of buckets side by side, with a progress line."""
        missing = [b for b in buckets if ("inference", b) not in self._compiled]
        if not missing:
            return
        with (
            Progress(
                len(missing), description="compile", unit="program", enabled=is_primary()
            ) as progress,
            ThreadPoolExecutor(min(len(missing), 8)) as pool,
        ):
            for _ in pool.map(
                lambda bucket: self._compile(
                    ("inference", bucket),
                    self._inference(bucket),
                    variables,
                    self._blank_batch(bucket),
                ),
                missing,
            ):
                progress.update()

    def sizes(self, bucket: Bucket) -> ImageSizes | SizeBounds:
        """The sizes of all images of an exact bucket; otherwise their bounds."""
        padded = self.padded(bucket.image_size)
        if bucket.exact:
            return ImageSizes(padded, bucket.image_size, bucket.output_size)
        return SizeBounds(padded, bucket.output_size, bucket.shrinkage)

    def padded(self, image_size: Size) -> Size:
        """The size to which the network pads an image."""
        return padded_size(image_size, self._config.model.size_divisibility)

    @property
    def batch_size(self) -> int:
        """Images in a batch, those of all devices."""
        return self._config.eval.batch_size * len(self._devices)

    def _inference(self, bucket: Bucket) -> Program:
        return make_inference(
            self._network, self._config.eval, self._categories, sizes=self.sizes(bucket)
        )

    def _blank_batch(self, bucket: Bucket) -> tuple[np.ndarray, np.ndarray | None]:
        images = np.zeros((self.batch_size, *bucket.image_size, 3), np.uint8)
        sizes = None if bucket.exact else np.ones((self.batch_size, 3, 2), np.int32)
        return images, sizes

    def _runner(self, key: Hashable, make: Callable[[], Program]) -> Program:
        def run(variables: Any, batch: Any) -> Any:
            program = self._compiled.get(key)
            if program is None:
                program = self._compile(key, make(), variables, batch)
            return program(variables, self._devices.split(batch))

        return run

    def _compile(self, key: Hashable, function: Program, variables: Any, batch: Any) -> Any:
        program = self._devices.spread(function).lower(variables, self._devices.split(batch))
        compiled = program.compile()
        with self._lock:
            self._compiled[key] = compiled
        return compiled
