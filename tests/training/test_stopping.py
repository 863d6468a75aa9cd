"""SIGTERM: a run stops with a checkpoint and leaves nothing out when it goes on."""

import os
import signal
from pathlib import Path

import jax
import pytest

from maskformer_jax.config import Config
from maskformer_jax.metrics_file import read_metrics
from maskformer_jax.training import loop, validation
from maskformer_jax.training.stopping import EXIT_STATUS, StopRequest, StopRequestedError


def test_a_signal_is_noted_from_the_first_question_on() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert signal.getsignal(signal.SIGTERM) == before
        assert not stop.reached()
        os.kill(os.getpid(), signal.SIGTERM)
        assert not stop.stopped  # nobody has asked since
        assert stop.reached()
        assert stop.stopped
    assert signal.getsignal(signal.SIGTERM) == before


def test_watching_ends_at_the_next_item() -> None:
    with StopRequest() as stop:
        stop.reached()
        items = stop.watch([1, 2, 3])
        assert next(items) == 1
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequestedError):
            next(items)


def test_a_run_stops_in_an_evaluation_and_makes_up_for_it(
    tiny_config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiny_config.train.num_steps, tiny_config.train.eval_every = 4, 2
    tiny_config.train.checkpoint_every = 100
    tiny_config.train.profile_steps = (4, 4)
    tiny_config.model.head = "per_pixel"  # compiles quickly
    saver = validation.picture_saver

    def stopping(*arguments: object, **options: object) -> object:
        save = saver(*arguments, **options)  # type: ignore[arg-type]

        def and_stop(*results: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            save(*results)  # type: ignore[arg-type]

        return and_stop

    with monkeypatch.context() as patch:
        patch.setattr(validation, "picture_saver", stopping)
        with pytest.raises(SystemExit) as ended:
            loop.train(tiny_config, tmp_path)
    assert ended.value.code == EXIT_STATUS == 143
    assert "ended by SIGTERM with step 2 saved" in capsys.readouterr().out
    assert (tmp_path / "checkpoints" / "2").is_dir()
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]  # and no scores

    loop.train(tiny_config, tmp_path)
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines if "eval/mIoU" in line] == [2, 4]
    trained = [line for line in lines if "loss" in line]
    assert [line["step"] for line in trained] == [1, 2, 3, 4]
    assert all(0 <= line["data_wait_share"] <= 1 for line in trained)
    assert all(line["steps_per_second"] > 0 for line in trained)
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    planes = jax.profiler.ProfileData.from_file(str(trace)).planes
    events = {event.name for plane in planes for line in plane.lines for event in line.events}
    assert {"train", "wait for data", "send batch"} <= events
