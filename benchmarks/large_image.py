"""Measure time and peak memory of evaluating one large image with many classes.

    python -m benchmarks.large_image --height=4000 --width=6000

The weights are random, which does not change the cost of semantic inference.
"""

import argparse
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.config.io import load_config
from maskformer_jax.data.eval_examples import EvalExample, ExampleList, resize_for_eval
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.evaluation.runner import Evaluator
from maskformer_jax.models.build import build_model


def peak_gigabytes() -> float:
    """Return the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Evaluate the image twice: with and without compilation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="ade20k-full-847/maskformer_R50_bs16_200k")
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--width", type=int, default=6000)
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3), jnp.uint8))
    rng = np.random.default_rng(0)
    size = (arguments.height, arguments.width)
    coarse = rng.integers(0, 256, (size[0] // 20, size[1] // 20, 3), dtype=np.uint8)
    image = coarse.repeat(20, axis=0).repeat(20, axis=1)
    label_map = rng.integers(-1, info.num_classes, image.shape[:2], dtype=np.int32)
    resized = resize_for_eval(image, config.eval)
    example = EvalExample("large", resized, image.shape[:2], label_map)
    print(f"{image.shape[:2]} as {resized.shape[:2]}, K {info.num_classes}", flush=True)
    print(f"before: {peak_gigabytes():.2f} GiB", flush=True)
    evaluator = Evaluator(model, config, categories=info.categories)
    for run in ("with compilation", "without"):
        start = time.perf_counter()
        evaluator.evaluate(variables, ExampleList([example]))
        seconds = time.perf_counter() - start
        print(f"{run}: {seconds:.1f} s, peak {peak_gigabytes():.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
