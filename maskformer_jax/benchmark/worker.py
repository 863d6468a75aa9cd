"""One case in a process of its own, which runs a round whenever it is told to.

So that two programs can take turns, and neither counts the other's memory. It prints one JSON
object a line: what is `Prepared`, the milliseconds of each round, and at the end the peak memory.
"""

import contextlib
import ctypes
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from maskformer_jax.benchmark.case import Case


def main() -> None:
    """Read the case, then commands: "round" runs it once, "end" ends the process."""
    fields = json.loads(sys.stdin.readline())
    fields["overrides"], (height, width) = tuple(fields["overrides"]), fields["size"]
    case = Case(**(fields | {"size": (height, width)}))
    if case.side == "ours":
        from maskformer_jax.benchmark.ours import prepare
    else:
        from maskformer_jax.benchmark.peer import prepare
    work = prepare(case)
    _say(work.prepared._asdict())
    for line in sys.stdin:
        if line.strip() == "end":
            break
        _forget_peak()
        begin = time.perf_counter()
        work.run()
        _say({"ms": 1000 * (time.perf_counter() - begin), "host_bytes": _host_peak()})
    _say({"peak_bytes": work.peak(), "extra": work.extra()})


def _say(record: dict[str, Any]) -> None:
    print("RECORD " + json.dumps(record), flush=True)


def _forget_peak() -> None:
    """Make Linux measure the peak of the resident memory from here on.

    What compiling has left behind goes back first: the allocator would keep it.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with contextlib.suppress(OSError):  # no Linux, or not permitted: the peak since the start
        Path("/proc/self/clear_refs").write_text("5")


def _host_peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM"))
        return 1024 * int(peak.split()[1])
    except (OSError, StopIteration):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
