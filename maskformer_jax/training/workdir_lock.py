"""One training at a time in a workdir."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskformer_jax.distributed import gather, is_primary
from maskformer_jax.errors import UserError

LOCK_FILE = ".lock"


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold a workdir for this run; the operating system lets go of it when the process ends.

    With several processes the first holds it for all, and all call this together. Folders that are
    made for the lock and stay empty are removed at the end.

    Raises:
        UserError: another training holds the workdir, or it cannot be written.
    """
    problem, held, made = "", -1, []
    if is_primary():
        try:
            made = _make_folders(workdir)
            held = _lock(workdir / LOCK_FILE)
        except UserError as error:
            problem = str(error)
    try:
        problem = gather(problem)[0]
        if problem:
            raise UserError(problem)
        yield
    finally:
        if held >= 0:
            (workdir / LOCK_FILE).unlink(missing_ok=True)
            os.close(held)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _make_folders(workdir: Path) -> list[Path]:
    """Make the workdir; returns the folders that did not exist, the innermost first."""
    missing = [folder for folder in (workdir, *workdir.parents) if not folder.exists()]
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {workdir}: {error.strerror or error}") from error
    return missing


def _lock(path: Path) -> int:
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"cannot write {path.parent}: {error.strerror or error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise UserError(
                f"{path.parent}: another training is running in this workdir; choose another "
                "workdir, or end that training first"
            ) from error
        except OSError:  # a file system without locks
            return file
        # The holder before may have removed the file between the two calls.
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return file
        os.close(file)
