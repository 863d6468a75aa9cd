"""Messages for data that is not where the config says it is."""

from pathlib import Path

from maskformer_jax.data.images import read_bytes
from maskformer_jax.errors import UserError

DATASETS_PAGE = "docs/datasets.md lists the download page and the layout of every data set"


def check_root(root: Path) -> None:
    """Raise a UserError unless `config.data.root` is a folder."""
    if not root.is_dir():
        raise missing_data(root, f"there is no folder {root.absolute()}")


def check_folder(folder: Path, root: Path, *, layout: str) -> None:
    """Raise a UserError unless a folder below `config.data.root` exists.

    Args:
        folder: where the files of a split should be.
        root: the value of `config.data.root`.
        layout: the expected paths, for the message.
    """
    check_root(root)
    if not folder.is_dir():
        siblings = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
        found = f"; {folder.parent} has {', '.join(siblings)}" if siblings else ""
        raise missing_data(root, f"there is no folder {folder}{found}. The layout is {layout}")


def read_file(path: Path, root: Path) -> bytes:
    """Read a file below `config.data.root`.

    Raises:
        UserError: the file is missing or cannot be read.
    """
    try:
        return read_bytes(path)
    except UserError:
        if path.exists():
            raise
        raise missing_data(root, f"there is no file {path}") from None


def missing_data(root: Path, problem: str) -> UserError:
    """Return the error for data that is missing below `config.data.root`."""
    return UserError(f"config.data.root is '{root}', but {problem}. {DATASETS_PAGE}")
