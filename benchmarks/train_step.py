"""Times the training step of a config on this machine's devices, with a synthetic batch.

    python -m benchmarks.train_step --config=NAME [--steps=N] [--config.A.B=VALUE ...]

Prints compile times, the median step time, images per second, and the CPU time of a step, which is
less sensitive to other programs. Images have the crop size, or the first padded size if the recipe
pads to several. No data set is needed.
"""

import sys
import time

import jax
import numpy as np

from maskformer_jax.benchmark.synthetic import draw_batch
from maskformer_jax.commands.parser import CommandParser, read_config
from maskformer_jax.config import Config
from maskformer_jax.config.data import VARYING_MAPPERS
from maskformer_jax.data.grouping import padded_sizes
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.training.loop import Training
from maskformer_jax.training.mesh import put_batch
from maskformer_jax.types import Batch

SEGMENTS = 8  # in each image


def synthetic_batch(config: Config) -> Batch:
    """Draw noise images whose segments are random sets of square patches.

    Args:
        config: batch size, image size and number of segment slots are used.
    """
    size = config.data.augment.crop_size
    if config.data.mapper in VARYING_MAPPERS:
        size = padded_sizes(config.data.augment)[0]
    return draw_batch(
        config.train.batch_size,
        size,
        segments=SEGMENTS,
        slots=config.data.num_segments,
        num_classes=load_dataset_info(config.data.dataset).num_classes,
        overlapping=config.data.mapper == "instance",
    )


def main() -> None:
    """Read the config from the command line, run the step and print its times."""
    parser = CommandParser("train_step", "Time a training step.", config="required")
    parser.add_argument("--steps", type=int, default=10, help="steps to time")
    arguments, overrides = parser.read(sys.argv[1:])
    config = read_config(arguments.config, overrides)
    config.train.init_backbone = ""
    training = Training(config)
    batch = put_batch(synthetic_batch(config), training.mesh)

    begin = time.perf_counter()
    state = jax.block_until_ready(training.fresh())
    print(f"initialize, with compilation  {time.perf_counter() - begin:8.2f} s")

    begin = time.perf_counter()
    compiled = training.step.lower(state, batch).compile()
    print(f"compile the step              {time.perf_counter() - begin:8.2f} s")
    memory = compiled.memory_analysis()
    if memory is not None:
        print(f"temporary memory of a step    {memory.temp_size_in_bytes / 2**20:8.0f} MiB")

    times = []
    for _ in range(arguments.steps + 1):
        begin = np.array([time.perf_counter(), time.process_time()])
        state, metrics = jax.block_until_ready(compiled(state, batch))
        times.append([time.perf_counter(), time.process_time()] - begin)
    median, processor = np.median(times[1:], axis=0).tolist()  # the first one also warms caches
    print(f"step, median of {arguments.steps:<4}         {1000 * median:8.1f} ms")
    print(f"CPU time of a step            {1000 * processor:8.1f} ms")
    print(f"images per second             {config.train.batch_size / median:8.2f}")
    if not np.isfinite(metrics["loss"]):
        raise SystemExit("the loss is not finite")


if __name__ == "__main__":
    main()
