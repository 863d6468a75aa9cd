"""Ending a run early, but in order: SIGTERM saves a checkpoint and leaves."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from maskformer_jax.distributed import gather

EXIT_STATUS = 128 + signal.SIGTERM  # as a shell gives it; a script's `&&` does not go on


class StopRequestedError(Exception):
    """The run is to end, and what was going on is not needed any more."""


class StopRequest:
    """Whether the run is to end, asked between pieces of work. A context manager.

    A single process notes SIGTERM from its first question on; before it, when nothing is done that
    could be lost, the signal ends it at once. Of several processes any can get the signal, and all
    get the same answer at the same question, by JAX's preemption service: so all must ask equally
    often.
    """

    def __init__(self) -> None:
        self._reached = False
        self._answered = False
        self._questions = 0
        self._previous: Any = None
        # The service has a handler of its own. Only the main thread can set one.
        main = threading.current_thread() is threading.main_thread()
        self._handles = jax.process_count() == 1 and main

    def __enter__(self) -> "StopRequest":
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def reached(self) -> bool:
        """Whether the run is to end now; once true, it stays true."""
        self._questions += 1
        if self._handles and self._previous is None:
            self._previous = signal.signal(signal.SIGTERM, self._note) or signal.SIG_DFL
        if jax.process_count() > 1 and not self._reached:
            self._reached = multihost_utils.reached_preemption_sync_point(self._questions)
        self._answered = self._reached
        return self._answered

    @property
    def stopped(self) -> bool:
        """The last answer of `reached`, without asking again."""
        return self._answered

    def watch(self, items: Any) -> Iterator[Any]:
        """Goes through the items of this process, asking at each.

        The processes may have different numbers of items; those with fewer ask on at the end.

        Raises:
            StopRequestedError: the run is to end.
        """
        slots = max(gather(len(items)))
        for item in items:
            self._raise_if_reached()
            yield item
        for _ in range(slots - len(items)):
            self._raise_if_reached()

    def _raise_if_reached(self) -> None:
        if self.reached():
            raise StopRequestedError

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._reached = True
