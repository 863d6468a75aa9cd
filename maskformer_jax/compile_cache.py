"""Keeping compiled programs on disk, so that a second run starts at once."""

import hashlib
import os
import platform
from pathlib import Path

from maskformer_jax.errors import UserError

SHORTEST_COMPILATION = 0.2  # seconds; what compiles faster is not worth a file


def keep_programs(setting: str) -> None:
    """Make JAX keep the programs that this process compiles, and use those of earlier processes.

    Changes JAX's configuration, so only commands call it.

    Args:
        setting: `compile_cache` of a config: a folder, "auto", or empty. Where the environment
            variable JAX_COMPILATION_CACHE_DIR is set, nothing is changed.

    Raises:
        UserError: the folder cannot be made.
    """
    if not setting or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    import jax

    folder = user_folder() if setting == "auto" else Path(setting).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if setting == "auto":
            return  # a machine without a home folder to write to, say
        raise UserError(
            f"config.compile_cache is {setting!r}, but must be a folder that can be written to: "
            f"{error.strerror or error}"
        ) from error
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_COMPILATION)


def user_folder() -> Path:
    """The folder of this kind of machine in the user's cache folder.

    Programs for a CPU use its instructions, so machines that share a home folder but not a
    processor keep theirs apart.
    """
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    processor = platform.machine() + platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass  # no Linux
    digest = hashlib.sha256(processor.encode()).hexdigest()[:8]
    return Path(root).expanduser() / "maskformer_jax" / f"programs-{digest}"
