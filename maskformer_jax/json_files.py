"""JSON: reading what other people and tools wrote, and writing what all of them can read."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax.errors import UserError


def read_json(path: Path) -> Any:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: the file is missing, in another encoding, or not JSON.
    """
    return parse_json(read_text(path), name=str(path))


def parse_json(text: str, *, name: str) -> Any:
    """Parse JSON text; `name` is that of its file, for messages.

    Raises:
        UserError: it is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{name}: is not valid JSON ({error}); the file is damaged") from error
    except RecursionError as error:
        raise UserError(f"{name}: is nested too deeply to be read as JSON") from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: the file is missing, cannot be read, or is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is not in UTF-8 (byte {error.object[error.start]:#04x} at position "
            f"{error.start}), probably in Latin-1 or UTF-16; save it as UTF-8"
        ) from error


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that are not finite as None, since JSON has no nan; NumPy's as Python's."""
    return {
        name: (float(value) if math.isfinite(value) else None)
        if isinstance(value, float | np.floating)
        else value
        for name, value in values.items()
    }
