"""How fast a run is, and what it waits for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

PROFILE = "profile"  # the folder for traces in the workdir


class Pace:
    """Steps and images a second since the last report, evaluation and saving left out.

    Args:
        batch_size: images of a step, over all processes.
    """

    def __init__(self, *, batch_size: int) -> None:
        self._batch_size = batch_size
        self._restart()

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Counts the time of the block as lost to the input pipeline."""
        start = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the time of the block out."""
        start = time.perf_counter()
        yield
        self._start_s += time.perf_counter() - start

    def report(self, steps: int) -> dict[str, float]:
        """The numbers of the last `steps` steps: `data_wait_share` is in 0..1."""
        seconds = time.perf_counter() - self._start_s
        numbers = {
            "steps_per_second": steps / seconds,
            "images_per_second": steps * self._batch_size / seconds,
            "data_wait_share": min(self._waited_s / seconds, 1.0),
        }
        self._restart()
        return numbers

    def _restart(self) -> None:
        self._start_s = time.perf_counter()
        self._waited_s = 0.0


class Profiler:
    """Records a `jax.profiler` trace of some steps into the workdir's `profile/`.

    Args:
        workdir: of the run.
        steps: (first, last), both included; empty: none.
    """

    def __init__(self, workdir: Path, steps: tuple[int, ...]) -> None:
        self._folder = workdir / PROFILE
        self._steps = steps
        self._recording = False

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """Starts recording where `step` is the first."""
        if self._steps and step == self._steps[0]:
            jax.profiler.start_trace(str(self._folder))
            self._recording = True

    def after(self, step: int, result: Any) -> None:
        """Ends recording where `step` was the last, once its result is there."""
        if self._recording and step >= self._steps[-1]:
            jax.block_until_ready(result)
            self._stop()

    def _stop(self) -> None:
        if self._recording:
            self._recording = False
            jax.profiler.stop_trace()
