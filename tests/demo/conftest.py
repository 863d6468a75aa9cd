"""A server of the demo in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Server(NamedTuple):
    """A running server."""

    port: int
    pid: int
    folder: Path  # its working folder and its folder for temporary files

    @property
    def peak_memory_mb(self) -> float:
        """The most memory that the process has had."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1e3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose model is `serve_stub.Halves`."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    folder = tmp_path / "server"
    folder.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        "TMPDIR": str(folder),
    }
    command = [sys.executable, str(ROOT / "tests/demo/serve_stub.py")]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), process.pid, folder)
        process.kill()
