"""The package's type annotations reach its users (`maskformer_jax/py.typed`)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import maskformer_jax

USER_FILE = Path(__file__).parent / "typing_user.py"
PACKAGE = Path(maskformer_jax.__file__).parent


def test_public_names_have_types_under_strict_mypy(tmp_path):
    pytest.importorskip("mypy")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
        + [f"--cache-dir={tmp_path / 'cache'}", str(USER_FILE)],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").read_bytes() == b""
