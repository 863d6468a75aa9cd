"""Times building the abstract variables of each recipe's model.

    python -m benchmarks.build_models [NAME ...]

For each recipe `create_model` and `jax.eval_shape(model.init, ...)` in a process of its own, after
the imports and after one small model of the same process, whose time stands in the last column:
what is set up once. Prints seconds of the wall clock and of the processor.
"""

import subprocess
import sys
import time

import jax
import jax.numpy as jnp

import maskformer_jax as mf

FIRST = "shapes/maskformer_R18"  # small; its time is mostly what any first model takes


def build(name: str) -> tuple[float, float]:
    """Seconds by the wall clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    model = mf.create_model(name)
    images = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    jax.eval_shape(model.init, jax.random.key(0), images)
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measures one model in this process, or all in new ones."""
    names = sys.argv[1:] or mf.list_models()
    if len(names) == 1:
        first, _ = build(FIRST)
        wall, processor = build(names[0])
        print(f"{names[0]:72} {wall:6.2f} s {processor:6.2f} s {first:6.2f} s", flush=True)
        return
    print(f"{'':72}     wall processor    first")
    for name in names:
        subprocess.run([sys.executable, "-m", "benchmarks.build_models", name], check=True)


if __name__ == "__main__":
    main()
