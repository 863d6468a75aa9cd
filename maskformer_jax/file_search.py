"""Searching folders that people and their tools have left things in."""

import os
from collections.abc import Iterator
from pathlib import Path

_LEFT_BY_ARCHIVERS = "__MACOSX"


def files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder, sorted by path.

    Links to folders are followed, but not into a folder that is being searched. Hidden files and
    folders are left out: `.ipynb_checkpoints`, `._photo.jpg` and unfinished downloads.
    """
    found: list[Path] = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        here = Path(parent)
        folders[:] = [name for name in folders if not is_hidden(name) and not _is_loop(here / name)]
        found += [here / name for name in files if not is_hidden(name)]
    return iter(sorted(found))


def is_hidden(name: str) -> bool:
    """Whether file managers, notebooks and archivers left this file or folder."""
    return name.startswith(".") or name == _LEFT_BY_ARCHIVERS


def _is_loop(link: Path) -> bool:
    if not link.is_symlink():
        return False
    target = link.resolve()
    return any(parent.resolve() == target for parent in link.parents)
