"""Progress of long operations: a bar on a terminal, periodic plain lines elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from numbers import Integral
from typing import Protocol, SupportsFloat, runtime_checkable

from tqdm import tqdm

# Plain lines show the rate over this many lines, so that the slow first steps, in which the model
# compiles, drop out of the estimate of the remaining time.
_LINES_IN_RATE = 10
_BAR_INTERVAL_S = 0.5


@runtime_checkable
class Stream(Protocol):
    """A text stream to which progress is written."""

    def write(self, text: str, /) -> int:
        """Write some text."""

    def flush(self) -> None:
        """Flush the text written so far."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""


class Progress:
    """Shows the progress of a long operation, its rate and the remaining time.

    On a terminal this is a tqdm bar. Elsewhere it is a line at most every `min_interval_s`
    seconds, and one at the end:

        train: step 100/4000  3.1 it/s  remaining 0:20:58  loss 3.21

    Args:
        total: number of units; None or 0 if unknown.
        description: name of the operation, such as "train".
        initial: units completed before this process started; they do not count towards the rate.
        unit: name of a unit.
        min_interval_s: shortest time between two plain lines, in seconds.
        enabled: False shows nothing; for all processes but the first.
        stream: where to write; standard error by default.
        clock: returns monotonic time in seconds.
    """

    def __init__(
        self,
        total: int | None,
        *,
        description: str,
        initial: int = 0,
        unit: str = "step",
        min_interval_s: float = 10.0,
        enabled: bool = True,
        stream: Stream | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total or None
        self.done = initial
        self._description = description
        self._unit = unit
        self._min_interval_s = min_interval_s
        self._enabled = enabled
        self._stream: Stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._values: dict[str, SupportsFloat | str] = {}
        self._initial = initial
        self._start_s = clock()
        self._rate_from = (self._start_s, initial)  # time and units from which the rate counts
        self._shown: deque[tuple[float, int]] = deque(
            [(self._start_s, initial)], maxlen=_LINES_IN_RATE
        )
        self._bar: tqdm | None = None
        if enabled and self._stream.isatty():
            self._bar = tqdm(
                total=self.total,
                initial=initial,
                desc=description,
                unit=unit,
                file=self._stream,
                dynamic_ncols=True,
                mininterval=_BAR_INTERVAL_S,
            )

    def update(self, n: int = 1, **values: SupportsFloat | str) -> None:
        """Count `n` more units; `values`, such as the loss, are shown with the next line.

        Values are formatted only when they are shown, so passing a JAX array at every step does
        not make the host wait for the device at every step.
        """
        self.done += n
        self._values.update(values)
        if not self._enabled:
            return
        last_shown_s = self._shown[-1][0]
        interval_s = _BAR_INTERVAL_S if self._bar is not None else self._min_interval_s
        due = self._clock() - last_shown_s >= interval_s
        if self._bar is not None:
            if due:
                self._shown.append((self._clock(), self.done))
                self._bar.set_postfix(self._value_texts(), refresh=False)
            self._bar.update(n)
        elif due or self.done == self.total:
            self._print_line()

    def restart_rate(self) -> None:
        """Leave out of the rate what came before, such as the compilation of the first step."""
        self._rate_from = (self._clock(), self.done)
        self._shown.clear()
        self._shown.append(self._rate_from)
        if self._bar is not None:
            self._bar.start_t = self._bar.last_print_t = time.time()
            self._bar.initial = self.done

    def close(self) -> None:
        """Show the final state. Closing again has no effect."""
        if not self._enabled:
            return
        self._enabled = False
        if self._bar is not None:
            self._bar.set_postfix(self._value_texts(), refresh=False)
            self._bar.close()
        elif self.done != self._shown[-1][1] or self.done == self._initial:
            self._print_line()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _print_line(self) -> None:
        now_s = self._clock()
        finished = not self._enabled or self.done == self.total
        since_s, since_done = self._rate_from if finished else self._shown[0]
        rate = (self.done - since_done) / (now_s - since_s) if now_s > since_s else 0.0
        self._shown.append((now_s, self.done))
        of_total = "" if self.total is None else f"/{self.total}"
        parts = [f"{self._description}: {self._unit} {self.done}{of_total}"]
        if rate > 0:
            parts.append(f"{rate:.0f} it/s" if rate >= 10 else f"{rate:.2g} it/s")
        if finished:
            parts.append(f"took {_duration(now_s - self._start_s)}")
        elif rate > 0 and self.total is not None:
            parts.append(f"remaining {_duration((self.total - self.done) / rate)}")
        parts += [f"{name} {text}" for name, text in self._value_texts().items()]
        print("  ".join(parts), file=self._stream, flush=True)

    def _value_texts(self) -> dict[str, str]:
        return {name: _value_text(value) for name, value in self._values.items()}


def _value_text(value: SupportsFloat | str) -> str:
    if isinstance(value, str | Integral):
        return str(value)
    return f"{float(value):.4g}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
