"""One training at a time in a workdir of an object store.

The lock is an object with its owner and the time when it was last renewed. Without renewal it ends
by itself; that of a process of this machine which is gone ends at once.
"""

import json
import os
import secrets
import socket
import time

from maskformer_jax.errors import UserError
from maskformer_jax.remote.mirror import Mirror

LOCK_FILE = ".lock.json"
EXPIRES_S = 120.0  # seconds after the last renewal


class StoreLock:
    """Takes the lock of a workdir.

    Raises:
        UserError: another training has it.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._owner = secrets.token_hex(8)
        self._renewed = 0.0
        self._refuse_other()
        self.renew(force=True)

    def renew(self, *, force: bool = False) -> None:
        """Renew it if a third of its time is over."""
        if not force and time.time() - self._renewed < EXPIRES_S / 3:
            return
        self._renewed = time.time()
        content = {
            "owner": self._owner,
            "time": self._renewed,
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        self._mirror.write(LOCK_FILE, json.dumps(content).encode())

    def release(self) -> None:
        """Give it back."""
        self._mirror.remove(LOCK_FILE)

    def _refuse_other(self) -> None:
        data = self._mirror.read(LOCK_FILE)
        if data is None:
            return
        held = json.loads(data)
        age = time.time() - held["time"]
        same_machine = held["host"] == socket.gethostname()
        if age > EXPIRES_S or (same_machine and not _is_running(held["process"])):
            return
        raise UserError(
            f"{self._mirror.address}: another training is running in it, process "
            f"{held['process']} of {held['host']}, heard of {age:.0f} s ago. If it is gone, its "
            f"lock ends by itself after {EXPIRES_S:.0f} s"
        )


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
