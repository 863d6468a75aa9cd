"""Files of named tensors: NumPy archives, and pickles as detectron2 writes them.

Pickles are programs. Ours run on a machine that knows the few functions with which NumPy arrays
are put together, and only after a first pass, in which nothing at all is called, has found that
they ask for no others.
"""

import io
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.errors import UserError

Tensors = dict[str, np.ndarray]
MODEL_KEY = "model"  # detectron2 keeps the tensors under it, beside "__author__"
UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def read_tensors(path: str | Path) -> Tensors:
    """Read every tensor of a `.npz` or `.pkl` file.

    Raises:
        UserError: no such file, another format, damaged or truncated, a pickle that asks for
            anything but NumPy arrays, or entries that are not numeric arrays.
    """
    path = Path(path)
    readers = {".npz": _read_npz, ".pkl": _read_pickle}
    if path.suffix not in readers:
        raise UserError(f"{path}: cannot read {path.suffix or 'this'} files, only .npz and .pkl")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    tensors = readers[path.suffix](path, data)
    wrong = [
        f"{name} ({value.dtype if isinstance(value, np.ndarray) else type(value).__name__})"
        for name, value in tensors.items()
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub"
    ]
    if wrong:
        raise UserError(f"{path}: these entries are not numeric arrays: {', '.join(wrong)}")
    if not tensors:
        raise UserError(f"{path}: holds no tensors")
    return tensors


def _read_npz(path: Path, data: bytes) -> dict[str, Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, *UNREADABLE) as error:
        raise UserError(f"{path}: damaged or truncated, or not a .npz file: {error}") from error


def _read_pickle(path: Path, data: bytes) -> dict[str, Any]:
    scan = _GlobalScanner(data)
    try:
        scan.load()
        if scan.refused:
            raise UserError(
                f"{path}: refused, nothing of it was run: a checkpoint needs only NumPy arrays, "
                f"but this pickle asks for {', '.join(scan.refused)}"
            )
        content = _ArrayUnpickler(data).load()
    except UNREADABLE as error:
        # A scan that breaks off may have met what it does not allow: that is the better reason.
        if scan.refused:
            raise UserError(
                f"{path}: refused, nothing of it was run: it asks for {', '.join(scan.refused)}"
            ) from error
        raise UserError(f"{path}: damaged or truncated, or not a pickle: {error}") from error
    tensors = content.get(MODEL_KEY, content) if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise UserError(f'{path}: should hold a dict of named arrays, maybe under "{MODEL_KEY}"')
    return tensors


def _bytes_from_text(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, with which protocol 2 spells bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unexpected text encoding {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Stand in for `bytes`, with which protocol 2 spells b""."""
    return b""


def _array_from_buffer(
    buffer: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: str
) -> np.ndarray:
    """Stand in for NumPy's `_frombuffer`, with which protocol 5 spells arrays."""
    flat = np.frombuffer(buffer, dtype=dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _empty_array(subtype: type, shape: tuple[int, ...], type_code: Any) -> np.ndarray:
    """Stand in for NumPy's `_reconstruct`; the content follows as the array's state."""
    return np.ndarray(shape if subtype is np.ndarray else (0,), dtype="b")


def _scalar(dtype: np.dtype, content: bytes = b"") -> np.generic:
    """Stand in for NumPy's `scalar`."""
    return np.frombuffer(content, dtype=dtype)[0]


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _bytes_from_text,
    ("__builtin__", "bytes"): _empty_bytes,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")  # before and since NumPy 2
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _array_from_buffer),
        )
    },
}


class _Inert:
    """Takes the place of every object during the scan, and swallows what is done to it."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def _swallow(self, *_: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _swallow


class _GlobalScanner(pickle.Unpickler):
    """Runs through a pickle with inert objects and lists the globals that are not allowed."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self.refused: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED and f"{module}.{name}" not in self.refused:
            self.refused.append(f"{module}.{name}")
        return type("Inert", (_Inert,), {})  # a class of its own: a pickle may alter it


class _ArrayUnpickler(pickle.Unpickler):
    """Puts arrays together; looks nothing up outside the table."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return ALLOWED[module, name]
