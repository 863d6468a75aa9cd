"""Runs of several processes: connecting, exchanging values, exiting together.

Each process drives the devices of its host, or some of them; `jax.distributed` connects the
processes. With a single process the same functions work at no cost.
"""

import os
import pickle
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from maskformer_jax.config import DistributedConfig
from maskformer_jax.errors import UserError

T = TypeVar("T")

# Environment variables that a launcher sets for each process; the first is also read by JAX.
COORDINATOR, NUM_PROCESSES, PROCESS_ID = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)


def is_primary() -> bool:
    """Whether this is process 0, which writes logs, the config, pictures and reports."""
    return jax.process_index() == 0


@contextmanager
def joined(config: DistributedConfig) -> Iterator[None]:
    """Connect the processes of a run for the duration of a `with` block.

    Must be entered before JAX initializes a device. If the block raises in one of several
    processes, that process reports the error and exits at once with status 1. The others, which
    may be waiting for it in a collective operation, are ended when its heartbeat stops; an orderly
    shutdown would only delay that.

    Raises:
        UserError: an address or number is missing or wrong, or the processes cannot connect.
    """
    arguments = launch_arguments(config, os.environ)
    if arguments is None:
        yield
        return
    try:
        jax.distributed.initialize(
            **arguments,
            initialization_timeout=config.start_timeout_s,
            heartbeat_timeout_seconds=config.heartbeat_timeout_s,
            shutdown_timeout_seconds=config.start_timeout_s,
        )
    except (RuntimeError, ValueError) as error:
        raise UserError(f"the processes of the run could not connect: {error}") from error
    try:
        yield
    except BaseException as error:
        if isinstance(error, SystemExit):  # all processes exit together
            jax.distributed.shutdown()
            raise
        _exit_at_once(error)
    jax.distributed.shutdown()


def launch_arguments(
    config: DistributedConfig, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the arguments of `jax.distributed.initialize`; None for a single process.

    The config takes precedence over the environment. On a cluster that JAX itself detects (Slurm,
    Open MPI, TPU pods), there are no arguments.

    Raises:
        UserError: the address, the number of processes or the index of this one is missing or
            wrong.
    """
    launch = config.launch if config.launch != "auto" else _detect_launch(config, environment)
    if launch == "off":
        return None
    if launch == "cluster":
        return {}
    coordinator = config.coordinator or environment.get(COORDINATOR, "")
    count = config.num_processes or _number(environment, NUM_PROCESSES, 0)
    index = config.process_id if config.process_id >= 0 else _number(environment, PROCESS_ID, -1)
    if ":" not in coordinator:
        raise UserError(
            f"config.distributed.coordinator (or {COORDINATOR}) is {coordinator!r}, but must be "
            "HOST:PORT of process 0"
        )
    if count < 1 or not 0 <= index < count:
        raise UserError(
            f"config.distributed.num_processes (or {NUM_PROCESSES}) is {count} and "
            f"config.distributed.process_id (or {PROCESS_ID}) is {index}, but there must be at "
            "least one process, and ids count from 0"
        )
    return {
        "coordinator_address": coordinator,
        "num_processes": count,
        "process_id": index,
        "cluster_detection_method": "deactivate",
    }


def gather(value: T) -> list[T]:
    """Return the values of all processes, ordered by process; every process must call it.

    Any value that can be pickled. (As arrays, `process_allgather` would truncate int64 to int32.)
    """
    if jax.process_count() == 1:
        return [value]
    data = np.frombuffer(pickle.dumps(value), np.uint8)
    sizes = np.ravel(multihost_utils.process_allgather(np.int32(len(data))))
    padded = np.zeros(int(sizes.max()), np.uint8)
    padded[: len(data)] = data
    rows = np.asarray(multihost_utils.process_allgather(padded))
    return [pickle.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def require_same(value: str, *, what: str) -> None:
    """Check that a text is the same in all processes; every process must call it.

    Args:
        value: the text.
        what: what it is, for the message.

    Raises:
        UserError: names the first process whose text differs from that of process 0.
    """
    values = gather(value)
    for process, other in enumerate(values):
        if other != values[0]:
            raise UserError(
                f"process {process} has a different {what} from process 0; start all processes "
                "with the same files and options"
            )


def _detect_launch(config: DistributedConfig, environment: Mapping[str, str]) -> str:
    if config.coordinator or environment.get(COORDINATOR):
        return "address"
    tasks = max(
        # Not SLURM_NTASKS, which is also set in the batch script, a single process.
        _number(environment, "SLURM_STEP_NUM_TASKS", 1),
        _number(environment, "OMPI_COMM_WORLD_SIZE", 1),
        len(environment.get("TPU_WORKER_HOSTNAMES", "").split(",")),
    )
    return "cluster" if tasks > 1 else "off"


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    if not text:
        return default
    if not text.isdigit():
        raise UserError(f"{name} is {text!r}, but must be a whole number")
    return int(text)


def _exit_at_once(error: BaseException) -> None:
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130 if isinstance(error, KeyboardInterrupt) else 1)
