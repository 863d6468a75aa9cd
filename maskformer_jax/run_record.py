"""What a command was run with: its arguments, versions and devices."""

import json
import os
import platform
import resource
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.json_files import read_json

RUN_FILE = "run.json"
_PACKAGES = ("maskformer-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_MOST = 20  # starts that are kept


def record_start(folder: Path) -> None:
    """Add this process to the `run.json` of a folder, which lists the newest starts last.

    Arguments that are absolute paths are written relative to the folder, so that the folder names
    no place of this machine.

    Raises:
        UserError: the file cannot be written.
    """
    path = folder / RUN_FILE
    starts = [*read_starts(folder), describe_start(folder)][-_MOST:]
    write_atomically(path, json.dumps(starts, indent=2, ensure_ascii=False) + "\n")


def read_starts(folder: Path) -> list[dict[str, Any]]:
    """The starts that `run.json` lists; empty without one.

    Raises:
        UserError: the file cannot be read.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        return []
    starts: list[dict[str, Any]] = read_json(path)
    return starts


def describe_start(folder: Path) -> dict[str, Any]:
    """Describe this process."""
    devices = jax.devices()
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(_relative(argument, folder) for argument in sys.argv[1:]),
        "devices": f"{len(devices)} x {devices[0].device_kind}",
        "processes": jax.process_count(),
        "versions": {name: version for name, version in versions.items() if version},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def peak_memory_gb() -> dict[str, float]:
    """The most memory in use so far in 10^9 bytes: of this process, and of a device that tells."""
    peak = {"host_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        peak["device_memory_gb"] = statistics["peak_bytes_in_use"] / 1e9
    return peak


def _relative(argument: str, folder: Path) -> str:
    flag, equals, value = argument.rpartition("=")
    if Path(value).is_absolute():
        value = os.path.relpath(value, folder.absolute())
    return f"{flag}{equals}{value}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
