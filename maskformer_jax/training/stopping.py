"""Graceful shutdown: on SIGTERM or Ctrl-C a run saves a checkpoint and exits."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

from maskformer_jax.distributed import gather

# As shells report them, so that a script's `&&` does not continue.
EXIT_STATUS = 128 + signal.SIGTERM
INTERRUPTED_STATUS = 128 + signal.SIGINT


class StopRequestedError(Exception):
    """The run was asked to stop; raised to abandon work that need not be finished."""


class StopRequest:
    """Tells whether the run was asked to stop, for polling between units of work.

    A context manager. A single process catches SIGTERM and Ctrl-C from the first call of `reached`
    on; until then there is no work to lose, and the signal ends the process at once. A second
    Ctrl-C ends it at once too. In a run of several processes, any of them may receive the signal.
    JAX's preemption service then gives all of them the same answer at the same call, so all must
    call `reached` equally often.

    Attributes:
        cause: what asked for it, "SIGTERM" or "Ctrl-C".
        exit_status: of a process that was asked to stop.
    """

    def __init__(self) -> None:
        self.cause = "SIGTERM"
        self.exit_status = EXIT_STATUS
        self._previous_interrupt: Any = None
        self._requested = False
        self._answer = False
        self._calls = 0
        self._previous: Any = None
        # The preemption service installs its own handler. Only the main thread can install one.
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._installs_handler = jax.process_count() == 1 and self._in_main_thread

    def __enter__(self) -> "StopRequest":
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
        if self._previous_interrupt is not None:
            signal.signal(signal.SIGINT, self._previous_interrupt)

    def reached(self) -> bool:
        """Return whether to stop now; once True, it stays True."""
        self._calls += 1
        if self._installs_handler and self._previous is None:
            self._previous = signal.signal(signal.SIGTERM, self._on_signal) or signal.SIG_DFL
        if self._in_main_thread and self._previous_interrupt is None:
            previous = signal.signal(signal.SIGINT, self._on_interrupt)
            self._previous_interrupt = previous or signal.SIG_DFL
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

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.cause == "Ctrl-C":
            # Not an exception: threads of the loader and of XLA would be torn down under way.
            print("\ninterrupted again, nothing more is saved", file=sys.stderr, flush=True)
            os._exit(INTERRUPTED_STATUS)
        self.cause, self.exit_status = "Ctrl-C", INTERRUPTED_STATUS
        print(
            "\ninterrupted: saving after this step; once more to quit at once",
            file=sys.stderr,
            flush=True,
        )
        if self._installs_handler:
            self._requested = True
        else:  # the preemption service tells the other processes
            os.kill(os.getpid(), signal.SIGTERM)
