"""Settings that every test runs under; they must stand before the first import of JAX."""

import os
from pathlib import Path

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares compiled functions goes to the same worker: a golden model, else a file."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(golden_case(item) or item.path.stem))
    # pytest sorts by the index of a parameter, which is another model in every test.
    places = [i for i, item in enumerate(items) if golden_case(item)]
    by_case = sorted((items[i] for i in places), key=lambda item: (golden_case(item), item.path))
    for place, item in zip(places, by_case, strict=True):
        items[place] = item


def golden_case(item: pytest.Item) -> str:
    """The model of golden numbers that a test is about; empty for other tests."""
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")
    return getattr(case, "name", "")
