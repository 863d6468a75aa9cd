"""Reading files of named tensors, in every format in which checkpoints are distributed."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from maskformer_jax.convert.pickles import (
    NUMPY_ALLOWED,
    UNREADABLE,
    RefusedError,
    load,
    open_for_scan,
    refuse,
    scan,
)
from maskformer_jax.convert.torch_files import TorchFile, View
from maskformer_jax.errors import UserError

Tensors = dict[str, np.ndarray]
# Under which the tensors lie beside other things.
MODEL_KEYS = ("model", "state_dict", "model_state_dict", "blobs")
# What wrappers put before all names: DataParallel, torch.compile, Lightning.
WRAPPERS = ("module.", "_orig_mod.", "model.")

_OF_HUGGINGFACE = ("model.pixel_level_module.", "model.transformer_module.")


def read_tensors(path: str | Path) -> Tensors:
    """Read every tensor of a file; bfloat16 becomes float32.

    Args:
        path: `.pkl` (detectron2), `.pth`, `.pt` or `.bin` (PyTorch), `.safetensors` or `.npz`.

    Raises:
        UserError: no such file, another format, damaged or truncated, a pickle that asks for
            anything but arrays, or entries that are not numeric arrays.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise UserError(
            f"{path}: cannot read {path.suffix or 'this'} files, only {', '.join(READERS)}"
        )
    try:
        tensors = READERS[path.suffix](path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    wrong = [
        f"{name} ({value.dtype if isinstance(value, np.ndarray) else type(value).__name__})"
        for name, value in tensors.items()
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub"
    ]
    if wrong:
        raise UserError(f"{path}: these entries are not numeric arrays: {', '.join(wrong)}")
    if not tensors:
        raise UserError(f"{path}: holds no tensors")
    return unwrap(tensors)


def unwrap(tensors: Tensors) -> Tensors:
    """Take the prefixes of wrappers off the names, where all names have them."""
    for prefix in WRAPPERS:
        # Hugging Face's own names of a model without heads all start with `model.`.
        foreign = prefix == "model." and any(name.startswith(_OF_HUGGINGFACE) for name in tensors)
        if not foreign and all(name.startswith(prefix) for name in tensors):
            return unwrap({name.removeprefix(prefix): x for name, x in tensors.items()})
    return tensors


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, *UNREADABLE) as error:
        raise UserError(f"{path}: damaged or truncated, or not a .npz file: {error}") from error


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        with open_for_scan(path) as file:
            scan(file, NUMPY_ALLOWED)
        with path.open("rb") as file:
            content = load(file, NUMPY_ALLOWED)
    except RefusedError as error:
        raise refuse(path, error) from error
    except UNREADABLE as error:
        raise UserError(f"{path}: damaged or truncated, or not a pickle: {error}") from error
    return _find_tensors(path, content)


def _read_torch(path: Path) -> dict[str, Any]:
    file = TorchFile(path)
    return {
        name: file.read(value) if isinstance(value, View) else value
        for name, value in _find_tensors(path, file.content).items()
    }


def _read_safetensors(path: Path) -> dict[str, Any]:
    tensors = {}
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118, the file is no dict
                tensor = file.get_tensor(name)
                is_half = tensor.dtype == ml_dtypes.bfloat16
                tensors[name] = tensor.astype(np.float32) if is_half else tensor
    except (safetensors.SafetensorError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: damaged or truncated, or not a .safetensors file: {error}"
        ) from error
    return tensors


READERS = {
    ".pkl": _read_pickle,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".bin": _read_torch,
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
}


def _find_tensors(path: Path, content: Any) -> dict[str, Any]:
    """The dict of tensors in what a file holds."""
    tensors = content if isinstance(content, dict) else None
    for key in MODEL_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            tensors = content[key]
            break
    if tensors is None or not all(isinstance(name, str) for name in tensors):
        names = " or ".join(f'"{key}"' for key in MODEL_KEYS)
        raise UserError(f"{path}: should hold a dict of named arrays, maybe under {names}")
    return tensors
