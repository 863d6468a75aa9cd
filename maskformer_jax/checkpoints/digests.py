"""Detecting damaged checkpoints by the size and SHA-256 digest of each of their files.

Orbax itself detects some damage, but not a flipped bit in a tensor, which reads as another number.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

DIGESTS_FILE = "digests.json"
# Orbax writes the time of the commit into it, after everything else. Nothing is read from it.
_CHANGES_LATER = "_CHECKPOINT_METADATA"
_META_FILE = "meta/metadata"  # where Orbax puts the JSON of the item "meta"


def write_digests(folder: Path) -> None:
    """Write `digests.json` into a checkpoint whose other files are complete."""
    files = {
        path.relative_to(folder).as_posix(): _describe(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in (folder / DIGESTS_FILE, folder / _CHANGES_LATER)
    }
    (folder / DIGESTS_FILE).write_text(json.dumps({"files": files, "digest": _digest(files)}))


def find_damage(folder: Path, *, item: str = "") -> list[str]:
    """Compare all files of a checkpoint, or of one item in it, with their digests.

    Returns:
        One line for each file that is missing, of the wrong size, or changed. Empty for a
        checkpoint written without digests, as conversion from a published file does.
    """
    path = folder / DIGESTS_FILE
    if not path.is_file():
        return [f"{path} is missing"] if _has_digests(folder) else []
    try:
        content = json.loads(path.read_bytes())
        files = content["files"]
        if content["digest"] != _digest(files):
            return [f"{path} is damaged"]
    except (ValueError, KeyError, TypeError):
        return [f"{path} is damaged"]
    checked = {name: entry for name, entry in files.items() if name.startswith(item)}
    return [line for name, entry in checked.items() for line in _compare(folder / name, entry)]


def _compare(path: Path, expected: dict[str, Any]) -> list[str]:
    try:
        size = path.stat().st_size
        if size != expected["size"]:
            return [f"{path} has {size} bytes instead of {expected['size']}"]
        if _describe(path) != expected:
            return [f"{path} is damaged: its SHA-256 digest has changed"]
    except FileNotFoundError:
        return [f"{path} is missing"]
    except OSError as error:
        return [f"{path} cannot be read: {error.strerror or error}"]
    return []


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _digest(files: Any) -> str:
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _has_digests(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / _META_FILE).read_bytes())["digests"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
