"""Reading both file formats of `torch.save` without PyTorch.

Since version 1.6 a zip archive: a pickle `data.pkl` that refers to the storages `data/<key>` by
name. Before, one file: five pickles (a magic number, a version, the byte order, the object, the
keys of the storages), then the storages, each behind its number of items.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from maskformer_jax.convert.pickles import (
    NUMPY_ALLOWED,
    UNREADABLE,
    RefusedError,
    load,
    open_for_scan,
    refuse,
    scan,
)
from maskformer_jax.errors import UserError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of the older format
VERSION = 1001
NUM_PICKLES = 5
ZIP_START = b"PK\x03\x04"
DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, *UNREADABLE)


class StorageKind(NamedTuple):
    """What stands in for a class such as `torch.FloatStorage`."""

    dtype: np.dtype


class Storage(NamedTuple):
    """A stretch of the file, by its key; `start` counts items."""

    key: str
    dtype: np.dtype
    start: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A tensor: offset, size and strides in its storage, in items."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild_tensor(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> View:
    if not isinstance(storage, Storage):
        raise TypeError("a tensor has no storage")
    return View(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data: View, *_: Any) -> View:
    return data


def _size(sizes: tuple[int, ...] = ()) -> tuple[int, ...]:
    return tuple(sizes)


STORAGES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
ALLOWED: dict[tuple[str, str], Any] = {
    **NUMPY_ALLOWED,
    **{("torch", name): StorageKind(np.dtype(dtype)) for name, dtype in STORAGES.items()},
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): _size,
}


class TorchFile:
    """An opened file: `content` with its tensors as views, read only when asked for.

    Raises:
        UserError: it asks for anything but tensors, or is damaged, truncated or no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._storages: dict[str, np.ndarray] = {}
        try:
            with path.open("rb") as file:
                is_zip = file.read(len(ZIP_START)) == ZIP_START
            self._file: _Archive | _PlainFile = _Archive(path) if is_zip else _PlainFile(path)
            self.content: Any = self._file.content
        except RefusedError as error:
            raise refuse(path, error) from error
        except DAMAGED as error:
            raise self._damaged(error) from error

    def read(self, view: View) -> np.ndarray:
        """The array of a view; bfloat16 becomes float32."""
        try:
            return self._read(view)
        except DAMAGED as error:
            raise self._damaged(error) from error

    def _read(self, view: View) -> np.ndarray:
        key, dtype, start = view.storage
        if key not in self._storages:
            self._storages[key] = np.frombuffer(self._file.read_storage(key), dtype)
        items = self._storages[key].view(dtype)
        first = start + view.offset
        steps = [(size - 1) * step for size, step in zip(view.size, view.stride, strict=True)]
        if min((first, *view.size, *view.stride)) < 0:
            raise ValueError("a tensor lies outside its storage")
        if 0 in view.size:
            return np.zeros(view.size, dtype)
        if first + sum(steps) >= items.size:
            raise ValueError("a tensor lies outside its storage")
        array = np.lib.stride_tricks.as_strided(
            items[first:],
            view.size,
            tuple(step * dtype.itemsize for step in view.stride),
            writeable=False,
        )
        return array.astype(np.float32) if dtype == ml_dtypes.bfloat16 else array

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self._path}: damaged or truncated, or not a PyTorch file: {error}")


def _read_persistent_id(pid: Any) -> Storage:
    kind, storage_kind, key = pid[:3]
    if kind != "storage" or not isinstance(storage_kind, StorageKind) or not isinstance(key, str):
        raise ValueError("it refers to something that is no storage")
    view = pid[5] if len(pid) > 5 else None
    return Storage(key, storage_kind.dtype, view[1] if view else 0)


class _Archive:
    """The newer format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [name for name in names if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError("the archive has no data.pkl")
            self._prefix = pickles[0].removesuffix("data.pkl")
            order = self._prefix + "byteorder"
            if order in names and archive.read(order) != b"little":
                raise ValueError("it was written on a big-endian machine")
            program = archive.read(pickles[0])
        scan(io.BytesIO(program), ALLOWED)
        self.content = load(io.BytesIO(program), ALLOWED, persistent_load=_read_persistent_id)

    def read_storage(self, key: str) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            return archive.read(f"{self._prefix}data/{key}")


class _PlainFile:
    """The older format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_for_scan(path) as file:
            if scan(file, ALLOWED) != MAGIC_NUMBER:
                raise ValueError("it does not begin with PyTorch's magic number")
            for _ in range(NUM_PICKLES - 1):
                scan(file, ALLOWED)
        dtypes: dict[str, np.dtype] = {}

        def remember(pid: Any) -> Storage:
            storage = _read_persistent_id(pid)
            dtypes[storage.key] = storage.dtype
            return storage

        with path.open("rb") as file:
            _, version, system, self.content, keys = (
                load(file, ALLOWED, persistent_load=remember) for _ in range(NUM_PICKLES)
            )
            if version != VERSION or not system["little_endian"]:
                raise ValueError("an unknown version, or written on a big-endian machine")
            self._places = dict(_find_storages(file, keys, dtypes))

    def read_storage(self, key: str) -> bytes:
        start, size = self._places[key]
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(size)


def _find_storages(
    file: io.BufferedReader, keys: list[str], dtypes: dict[str, np.dtype]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yields the key, and the place and the size in bytes, of each storage."""
    total = Path(file.name).stat().st_size
    for key in keys:
        header = file.read(8)
        start, size = file.tell(), int.from_bytes(header, "little") * dtypes[key].itemsize
        if len(header) < 8 or start + size > total:
            raise EOFError("it ends before its tensors do")
        yield key, (start, size)
        file.seek(start + size)
