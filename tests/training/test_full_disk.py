"""A full disk is one line, whatever else libraries would say of it."""

import errno
import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from absl import logging as absl_logging

from maskformer_jax.errors import UserError
from maskformer_jax.training.full_disk import naming_full_disk


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full disk leaves in place does not reach other tests."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    for logger in (logging.getLogger("asyncio"), absl_logging.get_absl_logger()):
        monkeypatch.setattr(logger, "filters", [*logger.filters])


def test_error_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    for step in ("5", "10"):
        (tmp_path / "checkpoints" / step).mkdir(parents=True)
    message = r"No space left on the disk; the last good checkpoint is step 10"
    with pytest.raises(UserError, match=message), naming_full_disk(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_other_errors_pass_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"), naming_full_disk(tmp_path):
        raise OSError(errno.EISDIR, "Is a directory")


def test_failed_writes_that_nobody_waits_for_are_not_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def log(error: Exception) -> None:
        logging.getLogger("asyncio").error("exception was never retrieved", exc_info=error)

    full = ValueError("RESOURCE_EXHAUSTED: Failed to write: No space left on device")

    def run() -> None:
        log(full)
        assert not caplog.records
        log(ValueError("something else"))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError), naming_full_disk(tmp_path):
        run()
    log(full)  # a thread that ends after the run
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "something else"
    ]


def test_writes_whose_loop_has_ended_are_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: printed.append(str(one.exc_value)))
    with naming_full_disk(tmp_path):
        for text in ("Event loop is closed", "something else"):
            sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(text)))
    assert printed == ["something else"]


def test_threads_that_fail_after_the_run_are_not_printed(tmp_path: Path) -> None:
    logger = absl_logging.get_absl_logger()
    record = logging.LogRecord("absl", logging.ERROR, "/orbax/futures.py", 1, "raised", (), None)
    with naming_full_disk(tmp_path):
        pass
    assert logger.filter(record)
    with pytest.raises(UserError), naming_full_disk(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not logger.filter(record)


def test_a_run_without_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    hook, filters = sys.unraisablehook, [*logging.getLogger("asyncio").filters]
    with naming_full_disk(tmp_path):
        assert sys.unraisablehook is not hook
    assert sys.unraisablehook is hook
    assert set(logging.getLogger("asyncio").filters) <= set(filters)
