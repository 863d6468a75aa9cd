"""Training speed, the share of it lost to the input pipeline, and memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from maskformer_jax.run_record import peak_memory_gb


class Throughput:
    """Steps and images per second since the last report, without evaluation and checkpointing.

    Args:
        batch_size: images per step, summed over all processes.
        first_step: the step at which the run starts or resumes.
    """

    def __init__(self, *, batch_size: int, first_step: int = 0) -> None:
        self._batch_size = batch_size
        self.restart(first_step)

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Count the time of the block as time spent waiting for the input pipeline."""
        start = time.perf_counter()
        with jax.profiler.TraceAnnotation("wait for data"):
            yield
        self._waited_s += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out."""
        start = time.perf_counter()
        yield
        self._start_s += time.perf_counter() - start

    def report(self, step: int) -> dict[str, float]:
        """Return the rates since the last report, and the most memory used so far.

        `data_wait_share` is in 0..1.
        """
        steps = step - self._last_step
        seconds = time.perf_counter() - self._start_s
        rates = {
            "steps_per_second": steps / seconds,
            "images_per_second": steps * self._batch_size / seconds,
            "data_wait_share": min(self._waited_s / seconds, 1.0),
            **peak_memory_gb(),
        }
        self.restart(step)
        return rates

    def restart(self, step: int) -> None:
        """Count from now on, and from this step."""
        self._last_step = step
        self._start_s = time.perf_counter()
        self._waited_s = 0.0
