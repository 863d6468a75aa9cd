"""Measure the training images per second of the input pipeline, for a recipe and its data set.

    python -m benchmarks.data_loading --config=NAME [--config.A.B=VALUE ...] [--images=200]

With `--profile`, profile a single thread by function.
"""

import argparse
import cProfile
import os
import pstats
import sys
import time
from itertools import islice

from maskformer_jax.commands.parser import read_config
from maskformer_jax.config import Config
from maskformer_jax.data.pipeline import train_batches

_WARM_UP = 2  # batches


def measure(config: Config, *, images: int) -> tuple[float, float]:
    """Return images per second and CPU milliseconds per image in this process, after warm-up."""
    steps = max(images // config.train.batch_size, 1)
    with train_batches(config) as batches:
        for _ in islice(batches, _WARM_UP):
            pass
        start, cpu = time.perf_counter(), time.process_time()
        for _ in islice(batches, steps):
            pass
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    count = steps * config.train.batch_size
    return count / seconds, 1000 * cpu / count


def main() -> None:
    """Measure without threads, with 2 threads, and with 1 and 2 workers of 2 threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--profile", action="store_true")
    arguments, rest = parser.parse_known_args()
    overrides = [argument.removeprefix("--config.") for argument in rest]
    config = read_config(arguments.config, overrides)
    if arguments.profile:
        _profile(config, images=arguments.images)
        return
    print(f"{config.name}, {os.cpu_count()} cores")
    for threads, workers in ((0, 0), (2, 0), (2, 1), (2, 2)):
        config.data.num_threads, config.data.num_workers = threads, workers
        rate, cpu = measure(config, images=arguments.images)
        spent = "" if workers else f", {cpu:.1f} ms of CPU per image"
        print(f"threads {threads} workers {workers}: {rate:.1f} images/s{spent}", flush=True)


def _profile(config: Config, *, images: int) -> None:
    config.data.num_threads = config.data.num_workers = 0
    with cProfile.Profile() as profile:
        measure(config, images=images)
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    main()
