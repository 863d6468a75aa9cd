"""Atomic file writes: a reader sees either the complete file or none."""

import os
import tempfile
from pathlib import Path

from maskformer_jax.errors import UserError


def require_writable(folder: Path) -> None:
    """Find out whether files can be written to a folder, before the work that they are for.

    Leaves nothing behind, also where the folder does not exist yet.

    Raises:
        UserError: they cannot; says why.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error
    finally:
        for path in reversed(made):
            path.rmdir()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`, creating its folder if needed.

    The data goes to a temporary file beside `path` that is renamed at the end. A reader sees the
    old file or the new one, and a process killed half-way leaves the old one.

    Raises:
        UserError: the file cannot be written (no permission, disk full, ...).
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # If the folder could not be created, there is nothing to remove.
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
