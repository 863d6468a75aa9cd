"""A run ends where its main metric no longer gets better, and stays ended."""

from copy import deepcopy
from pathlib import Path

import pytest

from maskformer_jax.checkpoints.workdir import newest_step
from maskformer_jax.config import Config
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.training import loop, validation
from maskformer_jax.training.early_stopping import describe_stop


def log_of(*values: float | None) -> list[dict[str, float | None]]:
    lines: list[dict[str, float | None]] = [{"step": 1, "loss": 2.0}]
    return lines + [{"step": 10 * i, "eval/PQ": v} for i, v in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("values", "patience", "ends"),
    [
        ((10, 20, 30), 1, False),
        ((10, 20, 19), 1, True),
        ((10, 20, 19), 2, False),
        ((10, 20, 19, 20), 2, True),  # an equal value is no better
        ((10, 20, 19, 21), 2, False),
        ((30, 1, 2, 3), 3, True),
        ((30, 1, 2, 3), 0, False),
        ((None, None), 1, True),
        ((), 1, False),
    ],
)
def test_rule(values: tuple[float | None, ...], patience: int, ends: bool) -> None:
    reason = describe_stop(log_of(*values), metric="PQ", patience=patience)
    assert (reason is not None) == ends


def test_reason_names_the_best_step() -> None:
    reason = describe_stop(log_of(10, 20, 19, 18), metric="PQ", patience=2)
    assert reason == "PQ has not risen above 20.00 (step 20) in 2 evaluations"


def test_run_ends_saved_and_is_not_taken_up_again(
    toy_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = deepcopy(toy_config)
    config.train.num_steps, config.train.eval_every, config.train.patience = 12, 2, 2
    config.train.checkpoint_every = 100
    scores = iter([50.0, 60.0, 55.0, 58.0, 99.0, 98.0])

    def run(self: validation.Validation, state: object, *, step: int, stop: object) -> object:
        found = {"mIoU": next(scores)}
        self._log.write(step, {"eval/mIoU": found["mIoU"]})
        return found

    monkeypatch.setattr(validation.Validation, "run", run)
    for _ in range(2):  # the second start finds the run ended
        loop.train(config, tmp_path)
        assert newest_step(tmp_path) == 8
        assert max(line["step"] for line in read_metrics(tmp_path)) == 8
        assert "mIoU has not risen above 60.00 (step 4)" in capsys.readouterr().out
    config.train.patience = 3
    loop.train(config, tmp_path)
    assert newest_step(tmp_path) == 12
