"""Fields of a config that are paths: `~` in them, and how a workdir keeps them.

In the config.json of a workdir absolute paths are relative to it, after `$WORKDIR`, so that a
project can be moved as a whole. Relative paths stay as they were given.
"""

import copy
import os
from collections.abc import Callable
from pathlib import Path

from maskformer_jax.config.schema import Config

CLASS_FILES = (".json", ".txt", ".csv", ".png")  # of `data.dataset`
_WORKDIR = "$WORKDIR"
_FIELDS = (
    "data.dataset",
    "data.root",
    "train.init_backbone",
    "train.init_checkpoint",
    "compile_cache",
)


def is_class_file(dataset: str) -> bool:
    """Whether `config.data.dataset` is a file of one's own, not the name of a data set."""
    return dataset.lower().endswith(CLASS_FILES)


def expand_home(config: Config) -> Config:
    """A copy of the config with `~` replaced by the home folder in all paths."""
    return _change(config, os.path.expanduser)


def relative_to_workdir(config: Config, workdir: Path) -> Config:
    """A copy of the config as a workdir keeps it."""
    start = workdir.expanduser().absolute()

    def change(path: str) -> str:
        absolute = Path(path).expanduser()
        if not absolute.is_absolute():
            return path
        return Path(_WORKDIR, os.path.relpath(absolute, start)).as_posix()

    return _change(config, change)


def resolve_workdir(config: Config, workdir: Path) -> Config:
    """Invert `relative_to_workdir`, at the place where the workdir is now."""

    def change(path: str) -> str:
        if not path.startswith(_WORKDIR):
            return path
        return os.path.normpath(f"{workdir.expanduser().absolute()}{path[len(_WORKDIR) :]}")

    return _change(config, change)


def _change(config: Config, change: Callable[[str], str]) -> Config:
    result = copy.deepcopy(config)
    for field in _FIELDS:
        section_name, _, name = field.rpartition(".")
        section = getattr(result, section_name) if section_name else result
        value = getattr(section, name)
        if _is_path(field, value):
            setattr(section, name, change(value))
    return result


def _is_path(field: str, value: str) -> bool:
    if not value or "://" in value:
        return False
    if field == "data.dataset":
        return is_class_file(value)
    return not (field == "compile_cache" and value == "auto")
