"""A run that is killed and started again ends where an uninterrupted run ends, bit for bit.

`tools/kill_test.py` does the work; these are its short forms.
"""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def kill_test(*options: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tools.kill_test", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing lost" in result.stdout


@pytest.mark.slow
def test_kills() -> None:
    kill_test("--kills=8")


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_kills_of_one_of_two_processes(signal: str) -> None:
    kill_test("--kills=3", "--processes=2", f"--signal={signal}")
