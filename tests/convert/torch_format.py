"""Writes PyTorch's two file formats opcode by opcode, so that tests need no PyTorch."""

import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np

KINDS = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float64): "DoubleStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype(np.int64): "LongStorage",
    np.dtype(np.bool_): "BoolStorage",
}
START, END = b"\x80\x02", b"."


def spell(value) -> bytes:
    """A plain value as a part of a pickle of protocol 2."""
    return pickle.dumps(value, protocol=2)[2:-1]


def spell_global(name: str) -> bytes:
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def spell_tensor(array: np.ndarray, key: str, *, plain: bool, offset=0, stride=None) -> bytes:
    """A tensor, by default the whole of the storage `key` in rows."""
    if stride is None:
        stride = tuple(step // array.itemsize for step in array.strides)
    storage = (
        b"("
        + spell("storage")
        + spell_global(f"torch.{KINDS[array.dtype]}")
        + spell(key)
        + spell("cpu")
        + spell(array.size)
        + (spell(None) if plain else b"")  # the older format: no view of another storage
        + b"tQ"
    )
    hooks = spell_global("collections.OrderedDict") + b")R"
    arguments = storage + spell(offset) + spell(array.shape) + spell(stride) + spell(False) + hooks
    return spell_global("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"tR"


def spell_dict(items: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(spell(name) + value for name, value in items.items()) + b"u"


def write_torch(
    path: Path, tensors: dict[str, np.ndarray], *, plain: bool, extra: bytes | None = None
) -> Path:
    """Writes {"model": tensors}, in the zip format or in the older plain one.

    `extra` is put beside "model", as opcodes.
    """
    spelt = {
        name: spell_tensor(array, str(i), plain=plain)
        for i, (name, array) in enumerate(tensors.items())
    }
    content = {"model": spell_dict(spelt)} | ({"extra": extra} if extra else {})
    return write_program(path, spell_dict(content), list(tensors.values()), plain=plain)


def write_program(path: Path, program: bytes, storages: list[np.ndarray], *, plain: bool) -> Path:
    """Writes a pickle and the storages "0", "1", ... to which it refers."""
    data = [np.ascontiguousarray(array).tobytes() for array in storages]
    if not plain:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", START + program + END)
            archive.writestr("archive/byteorder", "little")
            for i, content in enumerate(data):
                archive.writestr(f"archive/data/{i}", content)
            archive.writestr("archive/version", "3\n")
        return path
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    keys = [str(i) for i in range(len(data))]
    path.write_bytes(
        pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        + pickle.dumps(1001, 2)
        + pickle.dumps(system, 2)
        + (START + program + END)
        + pickle.dumps(keys, 2)
        + b"".join(
            array.size.to_bytes(8, "little") + content
            for array, content in zip(storages, data, strict=True)
        )
    )
    return path
