"""Settings that every test runs under; those of the environment precede the first import of JAX."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Four devices on one CPU, so that sharding is exercised. Compilation takes most of the time, so
# the compiler optimizes less (the arithmetic is the same) and caches its results for later tests.
# Its older way of writing fused loops takes a third of the time when nothing is optimized.
FLAGS = {
    "xla_force_host_platform_device_count": "4",
    "xla_backend_optimization_level": "0",
    "xla_cpu_use_fusion_emitters": "false",
}
# NPROC enlarges the thread pool; without it, host callbacks on several CPU devices deadlock in
# jax 0.10.
os.environ.setdefault("NPROC", "16")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
# Arrays of different ranks must be broadcast explicitly, since broadcasting the wrong axis gives a
# wrong number rather than an error. Child processes inherit this.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
for flag, value in FLAGS.items():
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{flag}={value}".strip()

# How long a case takes says nothing of the code where a shape is compiled or the machine is busy.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

pytest_plugins = ["drawn_variables", "compilations"]


# Errors if they are attributed to the package: it raises them, or calls what is deprecated.
STRICT_WARNINGS = ("DeprecationWarning", "FutureWarning", "RuntimeWarning", "UserWarning")


def pytest_configure(config: pytest.Config) -> None:
    """Turn warnings of the package into errors; those of other packages stay warnings."""
    for category in STRICT_WARNINGS:
        config.addinivalue_line("filterwarnings", f"error::{category}:maskformer_jax")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the golden tests first, since they take longest, and those of one model in a row.

    pytest itself sorts by the index of a parameter, which differs between tests for one model.
    """
    places = {scope_of(item.nodeid): i for i, item in reversed(list(enumerate(items)))}
    items.sort(
        key=lambda item: (not golden_model(item.nodeid), places[scope_of(item.nodeid)], item.path)
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send tests that share compiled functions (golden model, or file) to the same worker."""
    from xdist.scheduler import LoadScopeScheduling

    class ByCompiledFunctions(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return ByCompiledFunctions(config, log)


def scope_of(nodeid: str) -> str:
    """Return the golden model that a test is about, otherwise the test's file."""
    return golden_model(nodeid) or nodeid.partition("::")[0]


def golden_model(nodeid: str) -> str:
    """Return the model in the test's first parameter; empty outside tests/golden."""
    model = re.match(r"tests/golden/.*\[((mask|per_pixel)\w+)", nodeid)
    return model[1] if model else ""
