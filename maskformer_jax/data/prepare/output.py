"""Folders that are either whole or not there, filled by several threads."""

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from maskformer_jax.errors import UserError
from maskformer_jax.progress import Progress

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextmanager
def new_paths(*targets: Path) -> Iterator[list[Path]]:
    """Temporary places beside the targets, which take their names when all went well.

    What is left over from a run that was killed has a name that begins with a dot, and nothing
    reads it. The targets appear one after the other, the last one last.

    Raises:
        UserError: a target exists already (an empty folder may), or writing fails.
    """
    for target in targets:
        is_empty_folder = target.is_dir() and not any(target.iterdir())
        if target.exists() and not is_empty_folder:
            raise UserError(f"{target} exists already; remove it or choose another folder")
    parent = targets[0].parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # Beside the targets, because only on one file system is the renaming atomic.
        with tempfile.TemporaryDirectory(prefix=f".{targets[0].name}.", dir=parent) as folder:
            staged = [Path(folder) / f"{i}-{target.name}" for i, target in enumerate(targets)]
            yield staged
            for source, target in zip(staged, targets, strict=True):
                if target.is_dir():
                    target.rmdir()
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
    except OSError as error:
        raise UserError(f"cannot write {targets[0]}: {error.strerror or error}") from error


def save_png(path: Path, array: np.ndarray) -> None:
    """Writes uint8 [h, w] or [h, w, 3] as PNG, making the folder."""
    save_bytes(path, encode_image(array, "PNG"))


def save_bytes(path: Path, data: bytes) -> None:
    """Writes a file, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def encode_image(array: np.ndarray, file_format: str) -> bytes:
    """The file of an image in a format that keeps every value, such as PNG or TIFF."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=file_format)
    return buffer.getvalue()


def convert_all(
    items: Sequence[_Item], convert: Callable[[_Item], _Result], *, description: str
) -> list[_Result]:
    """Converts files side by side, with progress; the results keep the order.

    Raises:
        UserError: one of them fails; the others are not waited for.
    """
    results = []
    threads = min(os.cpu_count() or 1, 16)
    with (
        Progress(len(items), description=description, unit="image") as progress,
        ThreadPoolExecutor(threads) as pool,
    ):
        futures = [pool.submit(convert, item) for item in items]
        try:
            for future in futures:
                results.append(future.result())
                progress.update()
        finally:
            for future in futures:
                future.cancel()
    return results


def list_pngs(folder: Path) -> list[Path]:
    """The PNG files in a folder and those below it, sorted.

    Raises:
        UserError: there is no such folder, or it has none.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    found = sorted(path for path in folder.rglob("*.png") if not path.name.startswith("."))
    if not found:
        raise UserError(f"{folder}: no PNG files")
    return found
