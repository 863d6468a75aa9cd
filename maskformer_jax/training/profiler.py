"""Profiler traces of chosen training steps."""

from pathlib import Path
from typing import Any

import jax

PROFILE = "profile"  # the folder for traces in the workdir


class Profiler:
    """Records a `jax.profiler` trace of a range of steps into the workdir's `profile/`.

    Args:
        workdir: the run's folder.
        steps: the first and the last step to record, both inclusive; empty to record nothing.
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
        """Start recording if `step` is the first of the range."""
        if self._steps and step == self._steps[0]:
            jax.profiler.start_trace(str(self._folder))
            self._recording = True

    def after(self, step: int, result: Any) -> None:
        """Stop recording if `step` is the last of the range, once its result is computed."""
        if self._recording and step >= self._steps[-1]:
            jax.block_until_ready(result)
            self._stop()

    def _stop(self) -> None:
        if self._recording:
            self._recording = False
            jax.profiler.stop_trace()
