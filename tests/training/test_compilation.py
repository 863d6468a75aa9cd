"""Nothing compiles after the first step and the first evaluation of each shape."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax import monitoring

from maskformer_jax.config import Config
from maskformer_jax.training import loop

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Grows by one entry for every program that XLA compiles, helper operations included."""
    seen: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        del duration
        if event == COMPILED:
            seen.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    yield seen
    monitoring.unregister_event_duration_listener(listen)


def test_nothing_compiles_after_warm_up(
    tiny_config: Config, tmp_path: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_config.train.eval_every = 2
    tiny_config.train.checkpoint_every = 2
    counts: list[int] = []
    evaluate = loop.Training.evaluate

    def counting(self: loop.Training, *arguments: object) -> dict[str, float]:
        scores = evaluate(self, *arguments)
        counts.append(len(compilations))
        return scores

    monkeypatch.setattr(loop.Training, "evaluate", counting)
    loop.train(tiny_config, tmp_path)
    # The first checkpoint is written after the first evaluation; from the second on all is warm.
    assert len(counts) == 4
    assert counts[0] > 0
    assert counts[1:] == [counts[1]] * 3
    jax.jit(lambda x: x * 3)(counts[0])
    assert len(compilations) > counts[-1], "the listener does not hear compilations"
