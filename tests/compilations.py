"""Counting what XLA compiles."""

from collections.abc import Iterator

import pytest
from jax import monitoring

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Grows by the name of every program that XLA compiles, helper operations included."""
    seen: list[str] = []

    def listen(event: str, duration: float, *, fun_name: str = "", **_: object) -> None:
        del duration
        if event == COMPILED:
            seen.append(fun_name)

    monitoring.register_event_duration_secs_listener(listen)
    yield seen
    monitoring.unregister_event_duration_listener(listen)
