"""Noticing damaged files: the size and SHA-256 of every file of a checkpoint.

Orbax's own format finds some damage by itself, but a flipped bit in a tensor reads as another
number.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

DIGESTS_FILE = "digests.json"
# Orbax notes the time of the commit in it, after everything else. Nothing is read from it.
_CHANGES_LATER = "_CHECKPOINT_METADATA"
_META_FILE = "meta/metadata"  # where Orbax puts the JSON of the item "meta"


def write_digests(folder: Path) -> None:
    """Writes `digests.json` into a checkpoint that is complete but for it."""
    files = {
        path.relative_to(folder).as_posix(): _describe(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path not in (folder / DIGESTS_FILE, folder / _CHANGES_LATER)
    }
    (folder / DIGESTS_FILE).write_text(json.dumps({"files": files, "digest": _digest(files)}))


def find_damage(folder: Path, *, item: str = "") -> list[str]:
    """Reads all files of a checkpoint, or of one item in it, and compares them with their digests.

    Returns:
        A line for each file that is missing, too short or long, or changed. Nothing about a
        checkpoint that was written without digests (one converted from a published file).
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
    checked = {name: said for name, said in files.items() if name.startswith(item)}
    return [line for name, said in checked.items() for line in _compare(folder / name, said)]


def _compare(path: Path, said: dict[str, Any]) -> list[str]:
    try:
        size = path.stat().st_size
        if size != said["size"]:
            return [f"{path} has {size} bytes in place of {said['size']}"]
        if _describe(path) != said:
            return [f"{path} is damaged: its SHA-256 is not the one it was written with"]
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
