"""Cases in processes of their own, which take turns."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from maskformer_jax.benchmark.case import Case, Measured, Prepared
from maskformer_jax.errors import UserError


class Worker:
    """The process of one case.

    Raises:
        UserError: the case cannot be run; the message ends with what its process printed.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        # So that two programs share a GPU.
        env = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maskformer_jax.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        self._tell(json.dumps(case._asdict()))
        self.prepared = Prepared(**self._hear())
        self._milliseconds: list[float] = []
        self._host_bytes: list[int] = []

    def run(self) -> None:
        """One round."""
        self._tell("round")
        record = self._hear()
        self._milliseconds.append(record["ms"])
        self._host_bytes.append(record["host_bytes"])

    def end(self) -> Measured:
        """End the process; the first round, in which a peer compiles, is not one of the results."""
        self._tell("end")
        last = self._hear()
        self._process.wait()
        first, *milliseconds = self._milliseconds
        return Measured(
            self.case,
            self.prepared,
            milliseconds,
            first,
            last["peak_bytes"] or max(self._host_bytes[1:], default=None),
            last["extra"],
        )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; `_hear` says so

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("RECORD "):
                record: dict[str, Any] = json.loads(line.removeprefix("RECORD "))
                return record
        status = self._process.wait()
        case = self.case
        raise UserError(
            f"the process that measures {case.what} of {case.config} ({case.side}) ended with "
            f"status {status}; its own message is above"
        )


def measure(cases: Sequence[Case], *, rounds: int) -> list[Measured]:
    """Run all cases in turn, so that what else the machine does hits them alike.

    Args:
        cases: that are to be compared.
        rounds: that count; one more warms up.
    """
    workers: list[Worker] = []
    try:
        for case in cases:
            workers.append(Worker(case))
        for _ in range(rounds + 1):
            for worker in workers:
                worker.run()
        return [worker.end() for worker in workers]
    finally:
        for worker in workers:
            worker.stop()
