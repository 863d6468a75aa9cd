"""Time and memory to load a published checkpoint.

    python -m benchmarks.load_checkpoint [--suffix=.pkl] [--config=NAME]

Writes a random checkpoint of the model in the format of the released files, then loads it three
times, each time in a new process (a process inherits the peak memory of its parent). Time and
memory are measured after the imports and the start of the JAX backend; memory is the increase of
the process's peak (ru_maxrss).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.checkpoints.export import write_published
from maskformer_jax.config.io import load_config
from maskformer_jax.pretrained import load_pretrained
from maskformer_jax.zoo.by_name import create_model

MIB = 2**20


def main() -> None:
    """Read the arguments; a child process writes or loads, the parent starts the children."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="ade20k-150/maskformer_R50_bs16_160k")
    parser.add_argument("--suffix", default=".pkl")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_random(arguments.write, arguments.config)
    elif arguments.load:
        measure(arguments.load, arguments.config)
    else:
        start_all(arguments.config, arguments.suffix)


def start_all(name: str, suffix: str) -> None:
    """Start one process that writes the checkpoint and three that load it."""
    command = [sys.executable, "-m", "benchmarks.load_checkpoint", f"--config={name}"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{suffix}"
        subprocess.run([*command, f"--write={file}"], check=True)
        print(f"{name}, {suffix}: {file.stat().st_size / MIB:.0f} MiB", flush=True)
        for _ in range(3):
            subprocess.run([*command, f"--load={file}"], check=True)


def write_random(file: Path, name: str) -> None:
    """Write a checkpoint with random weights."""
    rng = np.random.default_rng(0)
    images = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    shapes = jax.eval_shape(create_model(name).init, jax.random.key(0), images)
    variables = jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)
    write_published(variables, load_config(name), file)


def measure(file: Path, name: str) -> None:
    """Load a checkpoint and print time and memory."""
    jax.block_until_ready(jnp.zeros(1))  # starts the backend
    before, start = peak_memory(), time.perf_counter()
    loaded = load_pretrained(file, name)
    jax.block_until_ready(loaded.variables)
    seconds, memory = time.perf_counter() - start, peak_memory() - before
    size = file.stat().st_size
    print(f"{seconds:.1f} s, {memory / MIB:.0f} MiB, {memory / size:.2f} times the file")


def peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux


if __name__ == "__main__":
    main()
