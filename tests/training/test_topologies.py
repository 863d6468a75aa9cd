"""A checkpoint is the same state on any number of devices and processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(
    action: str, workdir: Path, step: int, *, devices: int, fsdp: int, processes: int = 1
) -> list[str]:
    """Runs `toy_state` in processes with so many devices each; their output."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        str(Path(__file__).with_name("toy_state.py")),
        action,
        str(workdir),
        str(step),
        str(fsdp),
    ]
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(REPOSITORY),
    }
    started = []
    for index in range(processes):
        if processes > 1:
            environment["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{port}"
            environment["JAX_NUM_PROCESSES"] = str(processes)
            environment["JAX_PROCESS_ID"] = str(index)
        started.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                cwd=REPOSITORY,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=300)[0] for process in started]
    assert all(process.returncode == 0 for process in started), "\n".join(outputs)
    return outputs


def test_eight_devices_to_two_processes(tmp_path: Path) -> None:
    run("save", tmp_path, 5, devices=8, fsdp=4)
    outputs = run("check", tmp_path, 5, devices=2, fsdp=2, processes=2)
    assert all("same on 4 devices" in output for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("fsdp", [1, 2])
def test_any_to_any(tmp_path: Path, fsdp: int) -> None:
    run("save", tmp_path, 5, devices=8, fsdp=8)
    run("check", tmp_path, 5, devices=1, fsdp=1)
    run("check", tmp_path, 5, devices=2, fsdp=fsdp)
    run("save", tmp_path, 6, devices=2, fsdp=2 * fsdp, processes=2)
    run("check", tmp_path, 6, devices=1, fsdp=1)
    run("check", tmp_path, 6, devices=8, fsdp=4 * fsdp)
    run("check", tmp_path, 6, devices=2, fsdp=1, processes=2)
