"""Output folders that appear only when complete, filled by several threads."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from maskformer_jax.data.location import DATASETS_PAGE
from maskformer_jax.errors import UserError
from maskformer_jax.image_files import encode_image
from maskformer_jax.progress import Progress

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextmanager
def new_paths(*targets: Path) -> Iterator[list[Path]]:
    """Yield temporary paths beside the targets that are renamed to them on success.

    A killed run leaves only a folder whose name begins with a dot, which nothing reads. The targets
    appear in their order.

    Raises:
        UserError: a target exists already (and is not an empty folder), or writing fails.
    """
    for target in targets:
        is_empty_folder = target.is_dir() and not any(target.iterdir())
        if target.exists() and not is_empty_folder:
            raise UserError(f"{target} exists already; remove it or choose another folder")
    parent = targets[0].parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # Beside the targets, because renaming is atomic only within a file system.
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
    """Write uint8 [h, w] or [h, w, 3] as PNG, creating the folder."""
    save_bytes(path, encode_image(array))


def save_bytes(path: Path, data: bytes) -> None:
    """Write a file, creating the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def convert_all(
    items: Sequence[_Item], convert: Callable[[_Item], _Result], *, description: str
) -> list[_Result]:
    """Convert items in parallel with a progress bar; the results keep their order.

    Raises:
        UserError: a conversion fails; those not yet started are cancelled.
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


def check_input_folder(folder: Path, *, root_name: str = "the data set") -> None:
    """Raise a UserError unless a folder of the data set as distributed exists."""
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; --root must be {root_name} as distributed. "
            f"{DATASETS_PAGE}"
        )


def list_pngs(folder: Path) -> list[Path]:
    """List the PNG files in a folder and its subfolders, sorted.

    Raises:
        UserError: the folder is missing or has no PNG files.
    """
    check_input_folder(folder)
    found = sorted(path for path in folder.rglob("*.png") if not path.name.startswith("."))
    if not found:
        raise UserError(f"{folder}: no PNG files")
    return found
