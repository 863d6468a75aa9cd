"""Settings that every test runs under; they must stand before the first import of JAX."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

# Four devices on one CPU, so that sharding is exercised. Compiling takes most of the time, so the
# compiler tries less hard (the arithmetic stays what it is) and keeps what it made for later tests.
FLAGS = {
    "xla_force_host_platform_device_count": "4",
    "xla_backend_optimization_level": "1",
}
# NPROC enlarges the thread pool, without which host callbacks on several CPU devices dead-lock in
# jax 0.10.
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
for flag, value in FLAGS.items():
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{flag}={value}".strip()

pytest_plugins = ["drawn_variables"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of one golden model in a row, before all others, since they take longest.

    pytest sorts by the index of a parameter, which is another model in every test.
    """
    places = {scope_of(item.nodeid): i for i, item in reversed(list(enumerate(items)))}
    items.sort(
        key=lambda item: (not golden_model(item.nodeid), places[scope_of(item.nodeid)], item.path)
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What shares compiled functions goes to the same worker: a golden model, else a file."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCompiledFunctions(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return ByCompiledFunctions(config, log)


def scope_of(nodeid: str) -> str:
    """The golden model that a test is about, or the test's file."""
    return golden_model(nodeid) or nodeid.partition("::")[0]


def golden_model(nodeid: str) -> str:
    """The model in the test's first parameter; empty for tests outside of tests/golden."""
    model = re.match(r"tests/golden/.*\[((mask|per_pixel)\w+)", nodeid)
    return model[1] if model else ""
