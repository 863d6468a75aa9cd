"""A workdir at an address, for as long as a command uses it."""

import atexit
import hashlib
import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskformer_jax.errors import UserError
from maskformer_jax.remote.lock import StoreLock
from maskformer_jax.remote.mirror import Mirror

EVERY_S = 5.0  # seconds between copies


@contextmanager
def remote_workdir(address: str) -> Iterator[Path]:
    """Train in a workdir at an address: yields the folder on this machine to train in.

    It starts as a copy of what is in the store; what is written to it is copied there every few
    seconds, and once more at the end, before this returns or an exception passes on. If that is
    impossible, the folder stays and is named.

    Raises:
        UserError: another training uses the address, or the store cannot be read or written.
    """
    folder = _folder_for(address)
    mirror = Mirror(address, folder)
    lock = StoreLock(mirror)
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run has left; the store is newer
    folder.mkdir(parents=True)
    mirror.pull()
    ended = threading.Event()

    def copy_now_and_then() -> None:
        while not ended.wait(EVERY_S):
            try:
                lock.renew()
                mirror.push()
            except (UserError, OSError) as error:
                logging.warning("%s; trying again in %.0f s", error, EVERY_S)

    copier = threading.Thread(target=copy_now_and_then, daemon=True)
    copier.start()
    try:
        yield folder
    finally:
        ended.set()
        copier.join()
        try:
            mirror.push()
        except UserError as error:
            # Aside, where the next start does not look for a place to work in.
            kept = folder.with_name(f"{folder.name}-not-copied-{secrets.token_hex(3)}")
            folder.replace(kept)
            raise UserError(f"{error}\nAll that the run has written is in {kept}") from error
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def fetch_checkpoint(address: str) -> Path:
    """Copy a workdir at an address, without old checkpoints, until the process ends.

    `ADDRESS/best`, `ADDRESS/last` and `ADDRESS/checkpoints/STEP` mean what they mean in paths.

    Raises:
        UserError: the store cannot be read, or there is nothing at the address.
    """
    base, inside = _split_step(address)
    scratch = tempfile.mkdtemp(prefix="maskformer-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    folder = Path(scratch) / base.rpartition("/")[2]
    folder.mkdir()
    Mirror(base, folder).pull(newest_only=inside in ("", "last"))
    if not any(folder.iterdir()):
        raise UserError(f"{address}: there is no such checkpoint")
    return folder / inside


def _split_step(address: str) -> tuple[str, str]:
    """The workdir, and what follows it: a name or a step."""
    base, _, last = address.rstrip("/").rpartition("/")
    if last in ("best", "last"):
        inside = last
    elif last == "checkpoints":
        inside = ""
    elif last.isdecimal() and base.endswith("/checkpoints"):
        inside = f"checkpoints/{last}"
    else:
        return address.rstrip("/"), ""
    return base.removesuffix("/checkpoints"), inside


def _folder_for(address: str) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    name = address.rstrip("/").rpartition("/")[2]
    return cache / "maskformer_jax" / "workdirs" / digest / name
