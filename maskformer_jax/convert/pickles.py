"""Reading pickled arrays without running the code that a pickle asks for.

Pickles are programs. Ours run on a machine that knows the few functions with which arrays are put
together, and only after a first pass, in which nothing at all is called, has found that they ask
for no others.
"""

import functools
import io
import os
import pickle
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.errors import UserError

Allowed = Mapping[tuple[str, str], Any]  # (module, name) to what stands in for it
# What a broken pickle may raise.
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
SKIPPED_BYTES = 4096  # the first pass reads no longer piece of data


class RefusedError(Exception):
    """A pickle asks for something that is not allowed."""


def open_for_scan(path: Path) -> io.BufferedReader:
    """A file for `scan`, which passes long pieces of data without reading them."""
    return _SkippingReader(io.FileIO(path))


def scan(file: io.BufferedIOBase, allowed: Allowed) -> Any:
    """Run through a pickle with inert objects, so that nothing of it happens.

    Raises:
        RefusedError: it asks for anything that is not allowed; names all of it.
        any of UNREADABLE: it breaks off, and what came before was allowed.
    """
    scanner = _Scanner(file, allowed)
    try:
        return scanner.load()
    finally:
        # A scan that breaks off may have met what it does not allow: that is the better reason.
        if scanner.refused:
            raise RefusedError(", ".join(scanner.refused))


def refuse(path: Path, error: RefusedError) -> UserError:
    """What to tell people about a refused file."""
    return UserError(
        f"{path}: refused, nothing of it was run: a checkpoint needs only arrays, but this pickle "
        f"asks for {error}"
    )


def load(
    file: io.BufferedIOBase,
    allowed: Allowed,
    *,
    persistent_load: Callable[[Any], Any] | None = None,
) -> Any:
    """Put a scanned pickle together; looks nothing up outside the table.

    Raises:
        any of UNREADABLE: it is damaged.
    """
    return _Loader(file, allowed, persistent_load).load()


class _SkippingReader(io.BufferedReader):
    """Leaves the memory for long pieces of data as it is: untouched, it costs nothing."""

    def readinto(self, buffer: Any, /) -> int:
        if len(buffer) <= SKIPPED_BYTES:
            return super().readinto(buffer)
        self.seek(len(buffer), os.SEEK_CUR)  # past the end, what follows is missing
        return len(buffer)


class _Inert:
    """Takes the place of every object during the scan, and swallows what is done to it."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def _swallow(self, *_: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _swallow


class _Scanner(pickle.Unpickler):
    """Lists the globals that are not allowed."""

    def __init__(self, file: io.BufferedIOBase, allowed: Allowed) -> None:
        super().__init__(file, encoding="latin1")
        self.allowed = allowed
        self.refused: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed and f"{module}.{name}" not in self.refused:
            self.refused.append(f"{module}.{name}")
        return type("Inert", (_Inert,), {})  # a class of its own: a pickle may alter it

    def persistent_load(self, pid: Any) -> Any:
        return _Inert()


class _Loader(pickle.Unpickler):
    """Puts arrays together; looks nothing up outside the table."""

    def __init__(
        self,
        file: io.BufferedIOBase,
        allowed: Allowed,
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        super().__init__(file, encoding="latin1")
        self.allowed = allowed
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        found = self.allowed[module, name]
        # A pickle may set attributes of what it is given, so functions go out in a wrapper.
        return functools.partial(found) if isinstance(found, types.FunctionType) else found

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent_load is None:
            raise pickle.UnpicklingError("it refers to data outside")
        return self._persistent_load(pid)


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


NUMPY_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
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
