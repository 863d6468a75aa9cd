"""Several processes as one run: finding each other, exchanging values, ending together.

One process drives the devices of its host (or one of them); `jax.distributed` joins them. The same
functions work, and cost nothing, where there is one process.
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

# Variables that a launcher sets in each process; the first is JAX's own.
COORDINATOR, NUM_PROCESSES, PROCESS_ID = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)


def is_primary() -> bool:
    """Whether this is the process that writes logs, the config, pictures and reports."""
    return jax.process_index() == 0


@contextmanager
def joined(config: DistributedConfig) -> Iterator[None]:
    """Joins the processes of a run for the time of a `with` block.

    Must be entered before JAX has touched a device. If the block raises while there are other
    processes, this one says why and ends at once with status 1: the others wait for it in some
    exchange and are ended by its disappearance, which an orderly farewell would only delay.

    Raises:
        UserError: an address or number is missing or wrong, or the processes do not find each
            other.
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
        raise UserError(f"the processes of the run did not find each other: {error}") from error
    try:
        yield
    except BaseException as error:
        if isinstance(error, SystemExit):  # all processes leave, as they have agreed
            jax.distributed.shutdown()
            raise
        _leave(error)
    jax.distributed.shutdown()


def launch_arguments(
    config: DistributedConfig, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """What `jax.distributed.initialize` needs to know; None where there is one process.

    Raises:
        UserError: an address is given without the numbers that belong to it.
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
            f"distributed.coordinator (or {COORDINATOR}) must be HOST:PORT of process 0, not "
            f"{coordinator!r}"
        )
    if count < 1 or not 0 <= index < count:
        raise UserError(
            f"distributed.num_processes (or {NUM_PROCESSES}) is {count} and "
            f"distributed.process_id (or {PROCESS_ID}) is {index}; there must be at least one "
            "process, and they count from 0"
        )
    return {
        "coordinator_address": coordinator,
        "num_processes": count,
        "process_id": index,
        "cluster_detection_method": "deactivate",
    }


def gather(value: T) -> list[T]:
    """The values of all processes, in their order; every process must call it.

    The values travel as bytes: `process_allgather` itself would round int64 to int32.
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
    """Compares a text over all processes.

    Raises:
        UserError: names the first process whose text is not that of process 0.
    """
    values = gather(value)
    for process, other in enumerate(values):
        if other != values[0]:
            raise UserError(
                f"process {process} has another {what} than process 0; start all processes with "
                "the same files and options"
            )


def _detect_launch(config: DistributedConfig, environment: Mapping[str, str]) -> str:
    if config.coordinator or environment.get(COORDINATOR):
        return "address"
    tasks = max(
        # Not SLURM_NTASKS: the script of a job has that too, and is one process.
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
        raise UserError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def _leave(error: BaseException) -> None:
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130 if isinstance(error, KeyboardInterrupt) else 1)
