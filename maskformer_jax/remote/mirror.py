"""A folder on this machine and its copy in an object store.

Object stores have no append and no rename, so a run works in a folder on this machine, and what it
writes is copied: first everything but the checkpoints, so that the log in the store never ends
before a checkpoint there; then each complete checkpoint, its digests last. One that was cut off
fails its digests, and the one before is used (`checkpoints/digests.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskformer_jax.checkpoints.digests import DIGESTS_FILE
from maskformer_jax.checkpoints.workdir import CHECKPOINTS
from maskformer_jax.errors import UserError
from maskformer_jax.remote.address import open_store

Stamp = tuple[int, int]  # time of the last change in ns, size


class Mirror:
    """Copies between a folder and an address.

    Args:
        address: gs://BUCKET/FOLDER or s3://BUCKET/FOLDER.
        folder: on this machine.

    Raises:
        UserError: see `open_store`.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self._store, self._root = open_store(address)
        self._copied: dict[str, Stamp] = {}

    def pull(self, *, newest_only: bool = False) -> None:
        """Copy everything from the store.

        Args:
            newest_only: of the checkpoints only the newest two, in case one was cut off.

        Raises:
            UserError: the store cannot be read.
        """
        names = self._list()
        steps = sorted({step for name in names if (step := _step_of(name)) is not None})
        wanted = set(steps[-2:] if newest_only else steps)
        for name in names:
            step = _step_of(name)
            if _is_private(name) or (step is not None and step not in wanted):
                continue
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._call("get_file", f"{self._root}/{name}", str(target))
            self._copied[name] = _stamp(target)

    def push(self) -> None:
        """Copy what is new or has changed to the store, and remove checkpoints that are gone.

        Raises:
            UserError: the store cannot be written; what has been copied stays.
        """
        local = {path.relative_to(self.folder).as_posix(): path for path in _files(self.folder)}
        for name in sorted(local, key=_order):
            path = local[name]
            try:
                stamp = _stamp(path)
                if self._copied.get(name) != stamp:
                    self._call("put_file", str(path), f"{self._root}/{name}")
                    self._copied[name] = stamp
            except FileNotFoundError:  # an old checkpoint, deleted meanwhile
                continue
        gone = [
            name
            for name in self._copied
            if _step_of(name) is not None and not (self.folder / name).exists()
        ]
        for name in sorted(gone, key=_order, reverse=True):  # the digests first
            self._call("rm_file", f"{self._root}/{name}")
            del self._copied[name]

    def read(self, name: str) -> bytes | None:
        """Read one object; None if there is none."""
        path = f"{self._root}/{name}"
        return self._call("cat_file", path) if self._call("exists", path) else None

    def write(self, name: str, data: bytes) -> None:
        """Write one object."""
        self._call("pipe_file", f"{self._root}/{name}", data)

    def remove(self, name: str) -> None:
        """Remove one object."""
        self._call("rm_file", f"{self._root}/{name}")

    def _list(self) -> list[str]:
        try:
            found = self._call("find", self._root)
        except FileNotFoundError:
            return []
        return sorted(path.removeprefix(f"{self._root}/") for path in found)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._store, method)(*arguments)
        except FileNotFoundError:
            raise
        except Exception as error:  # clients raise errors of their own kinds
            raise UserError(f"{self.address}: {method} failed: {error}") from error


def _files(folder: Path) -> Iterator[Path]:
    """Files that belong to the copy: none that are being written."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        unfinished = any(part.startswith(".") or "orbax-checkpoint-tmp" in part for part in parts)
        if not unfinished and path.is_file():
            yield path


def _order(name: str) -> tuple[bool, int, bool, str]:
    """Everything but the checkpoints first, then these by step, the digests of each last."""
    step = _step_of(name)
    return step is not None, step or 0, name.endswith(f"/{DIGESTS_FILE}"), name


def _step_of(name: str) -> int | None:
    """The step of the checkpoint that a file belongs to."""
    parts = name.split("/")
    in_checkpoint = len(parts) > 2 and parts[0] == CHECKPOINTS and parts[1].isdecimal()
    return int(parts[1]) if in_checkpoint else None


def _is_private(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
