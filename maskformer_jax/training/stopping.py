"""Graceful shutdown: on SIGTERM a run saves a checkpoint and exits."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from maskformer_jax.distributed import gather

EXIT_STATUS = 128 + signal.SIGTERM  # as shells report it, so that a script's `&&` does not continue


class StopRequestedError(Exception):
    """The run was asked to stop; raised to abandon work that need not be finished."""


class StopRequest:
    """Tells whether the run was asked to stop, for polling between units of work.

    A context manager. A single process catches SIGTERM from the first call of `reached` on; until
    then there is no work to lose, and the signal ends the process at once. In a run of several
    processes, any of them may receive the signal. JAX's preemption service then gives all of them
    the same answer at the same call, so all must call `reached` equally often.
    """

    def __init__(self) -> None:
        self._requested = False
        self._answer = False
        self._calls = 0
        self._previous: Any = None
        # The preemption service installs its own handler. Only the main thread can install one.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._installs_handler = jax.process_count() == 1 and in_main_thread

    def __enter__(self) -> "StopRequest":
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def reached(self) -> bool:
        """Return whether to stop now; once True, it stays True."""
        self._calls += 1
        if self._installs_handler and self._previous is None:
            self._previous = signal.signal(signal.SIGTERM, self._on_signal) or signal.SIG_DFL
        if jax.process_count() > 1 and not self._requested:
            self._requested = multihost_utils.reached_preemption_sync_point(self._calls)
        self._answer = self._requested
        return self._answer

    @property
    def stopped(self) -> bool:
        """The latest result of `reached`, without polling again."""
        return self._answer

    def watch(self, items: Any) -> Iterator[Any]:
        """Iterate over the items of this process, polling before each.

        Processes with fewer items than others poll on at the end, so that all poll equally often.

        Raises:
            StopRequestedError: the run was asked to stop.
        """
        most = max(gather(len(items)))
        for item in items:
            self._raise_if_reached()
            yield item
        for _ in range(most - len(items)):
            self._raise_if_reached()

    def _raise_if_reached(self) -> None:
        if self.reached():
            raise StopRequestedError

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._requested = True
