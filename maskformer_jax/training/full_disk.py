"""A full disk: one line that names the last good checkpoint, in place of what libraries print."""

import errno
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, LogRecord, getLogger
from pathlib import Path
from typing import Any

from absl import logging

from maskformer_jax.checkpoints.workdir import CHECKPOINTS, checkpoint_steps
from maskformer_jax.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SIGNS = ("No space left", "Disk quota exceeded", "RESOURCE_EXHAUSTED: Error opening")


@contextmanager
def naming_full_disk(workdir: Path) -> Iterator[None]:
    """Turn every error of a full disk into one that names what is left, and keep threads quiet.

    Orbax and tensorboardX write in threads of their own, which print what fails there; what
    matters of it reaches the main thread, at the latest with the next checkpoint.

    Raises:
        UserError: the disk is full.
    """
    logger, previous = logging.get_absl_logger(), threading.excepthook
    ending = False

    def excepthook(arguments: Any) -> None:
        error = arguments.exc_value
        if not _is_full(error) and not (ending and isinstance(error, OSError)):
            previous(arguments)

    unraisable = sys.unraisablehook

    def unraisablehook(arguments: Any) -> None:
        # Of the writes of one checkpoint the first that fails ends the loop in which TensorStore
        # reports all of them; each of the others then complains that there is none.
        error = arguments.exc_value
        if not (isinstance(error, RuntimeError) and "Event loop is closed" in str(error)):
            unraisable(arguments)

    logger.addFilter(_keep)
    getLogger("asyncio").addFilter(_is_news)
    threading.excepthook = excepthook
    sys.unraisablehook = unraisablehook
    try:
        yield
    except (OSError, UserError) as error:
        if not _is_full(error):
            raise
        ending = True
        left = [folder.name for folder in checkpoint_steps(workdir / CHECKPOINTS)]
        saved = f"the last good checkpoint is step {left[0]}" if left else "no checkpoint was saved"
        raise UserError(
            f"{workdir}: No space left on the disk; {saved}. Once there is space, the same command "
            "goes on from there"
        ) from error
    finally:
        # After a full disk all of these stay: threads may still fail while the process ends.
        # The hook for threads always does.
        if not ending:
            logger.removeFilter(_keep)
            getLogger("asyncio").removeFilter(_is_news)
            sys.unraisablehook = unraisable


def _keep(record: LogRecord) -> bool:
    """Drop what Orbax logs of errors in its threads, which it raises in the main thread too."""
    return record.levelno < ERROR or "orbax" not in record.pathname


def _is_news(record: LogRecord) -> bool:
    """Drop what asyncio logs of writes that failed and whose errors nobody has asked for."""
    return not (record.exc_info and _is_full(record.exc_info[1]))


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        if any(sign in str(error) for sign in _SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False
