"""The metrics of the latest steps, brought to the host only when they are needed."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from maskformer_jax.config import Config
from maskformer_jax.data.pipeline import batch_image_ids
from maskformer_jax.training.finite import require_finite
from maskformer_jax.training.mesh import batch_rows


class StepMetrics:
    """Collects the metrics of each step, as arrays that stay on the device.

    Fetching them makes the host wait for the device, so the loop does it only in steps after which
    it logs, evaluates or saves.

    Args:
        image_ids: gives the image ids of a step, in the order of the rows of its batch; called
            only to report losses that are not finite.
    """

    def __init__(self, image_ids: Callable[[int], Sequence[str]]) -> None:
        self._image_ids = image_ids
        self._pending: list[tuple[int, dict[str, Any]]] = []

    def add(self, step: int, metrics: dict[str, Any]) -> None:
        """Take the metrics of one step without waiting for their values."""
        self._pending.append((step, metrics))

    def fetch(self) -> dict[str, float]:
        """Check the metrics of all steps since the last call; return the newest step's scalars.

        Raises:
            UserError: a loss or gradient norm is not finite and the update was made all the same;
                names the first such step and its images.
        """
        fetched = jax.device_get(self._pending)
        self._pending.clear()
        for step, metrics in fetched:
            require_finite(step, metrics, image_ids=self._image_ids)
        _, newest = fetched[-1]
        return {name: float(value) for name, value in newest.items() if np.ndim(value) == 0}


def step_image_ids(step: int, *, config: Config, mesh: Mesh) -> list[str]:
    """The image ids of a step (the first is 1), in the order of the rows of the global batch."""
    ids = batch_image_ids(config, step - 1)
    return [ids[row] for row in batch_rows(mesh, config.train.batch_size)]
