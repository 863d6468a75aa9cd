"""Programs kept on disk: where, and when not."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from maskformer_jax.compile_cache import keep_programs, user_folder
from maskformer_jax.errors import UserError

PROGRAM = """
import sys, jax
from maskformer_jax import compile_cache
compile_cache.SHORTEST_COMPILATION = 0.0
compile_cache.keep_programs(sys.argv[1])
jax.jit(lambda x: x * 3 + 1)(1.0)
print(jax.config.jax_compilation_cache_dir)
"""


def run(setting: str, **environment: str) -> str:
    """Run a program with this setting in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, setting],
        env={"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu", **environment},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_programs_go_to_the_folder_of_the_config(tmp_path):
    assert run(str(tmp_path / "kept"), HOME=str(tmp_path)) == str(tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir())


def test_by_default_they_go_to_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = user_folder()
    assert folder.parent == tmp_path / "maskformer_jax"
    assert run("auto", XDG_CACHE_HOME=str(tmp_path)) == str(folder)
    assert list(folder.iterdir())


def test_empty_keeps_nothing(tmp_path):
    assert run("", HOME=str(tmp_path)) == "None"
    assert not list(tmp_path.iterdir())


def test_the_environment_comes_first(tmp_path):
    mine = tmp_path / "mine"
    assert run(str(tmp_path / "kept"), JAX_COMPILATION_CACHE_DIR=str(mine)) == str(mine)
    assert not (tmp_path / "kept").exists()
    before = jax.config.jax_compilation_cache_dir
    keep_programs(str(tmp_path / "kept"))  # conftest.py has set the variable
    assert jax.config.jax_compilation_cache_dir == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    with pytest.raises(UserError, match=r"config\.compile_cache is '.*file/x', but must be a fold"):
        keep_programs(str(tmp_path / "file" / "x"))
