"""How long a published checkpoint takes to become variables, and how much memory.

    python -m benchmarks.load_checkpoint [--suffix=.pkl] [--config=NAME]

Writes a random checkpoint of the model in the form of the released files, then loads it, each in
a process of its own (a process starts with the peak of the one that started it). Time and memory
count from after the imports and the start of the JAX backend: memory is the process's peak
(ru_maxrss) less what it was then.
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
    """Reads the arguments."""
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
    """Starts the processes."""
    command = [sys.executable, "-m", "benchmarks.load_checkpoint", f"--config={name}"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{suffix}"
        subprocess.run([*command, f"--write={file}"], check=True)
        print(f"{name}, {suffix}: {file.stat().st_size / MIB:.0f} MiB", flush=True)
        for _ in range(3):
            subprocess.run([*command, f"--load={file}"], check=True)


def write_random(file: Path, name: str) -> None:
    """Writes a checkpoint of random numbers."""
    rng = np.random.default_rng(0)
    images = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    shapes = jax.eval_shape(create_model(name).init, jax.random.key(0), images)
    variables = jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), shapes)
    write_published(variables, load_config(name), file)


def measure(file: Path, name: str) -> None:
    """Loads a checkpoint and prints time and memory."""
    jax.block_until_ready(jnp.zeros(1))  # the backend starts
    before, start = peak_memory(), time.perf_counter()
    loaded = load_pretrained(file, name)
    jax.block_until_ready(loaded.variables)
    seconds, memory = time.perf_counter() - start, peak_memory() - before
    size = file.stat().st_size
    print(f"{seconds:.1f} s, {memory / MIB:.0f} MiB, {memory / size:.2f} times the file")


def peak_memory() -> int:
    """Bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux


if __name__ == "__main__":
    main()
