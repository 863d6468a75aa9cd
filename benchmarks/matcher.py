"""Time the two exact matchers at the shapes of the ResNet-50 recipes: 16 images, 6 layers.

    python -m benchmarks.matcher [--images=16] [--queries=100]

Random costs resemble those early in training: queries agree on classes and differ little.
"""

import argparse
import time

import jax
import numpy as np

from maskformer_jax.matching.match import match

LAYERS, SLOTS = 6, 100
SEGMENTS = (10, 25, 50, 100)
REPEATS = 7


def main() -> None:
    """Print a row for each number of segments: median milliseconds of both matchers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--queries", type=int, default=100)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (arguments.images, LAYERS, arguments.queries, SLOTS)
    columns = rng.random((*shape[:2], 1, SLOTS)) * 20
    cost = jax.device_put((columns + rng.normal(size=shape) * 0.3).astype(np.float32))
    solve = jax.jit(match, static_argnames="matcher")
    print(f"{jax.default_backend()}, {arguments.images} images, {LAYERS} layers")
    print("| segments | scipy | jax |")
    print("|---|---|---|")
    for count in SEGMENTS:
        valid = np.broadcast_to(np.arange(SLOTS) < count, (arguments.images, SLOTS))
        row = []
        for matcher in ("scipy", "jax"):
            jax.block_until_ready(solve(cost, valid, matcher=matcher))
            seconds = []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                jax.block_until_ready(solve(cost, valid, matcher=matcher))
                seconds.append(time.perf_counter() - begin)
            row.append(f"{1000 * np.median(seconds):.1f} ms")
        print(f"| {count} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
