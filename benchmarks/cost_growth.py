"""How cost grows: time against queries, targets, image side, batch and classes, as exponents.

    python -m benchmarks.cost_growth [--only=PART] [--rounds=3]

For each part of a step or of inference, everything but one quantity stays at its base value. The
exponent is the slope of log time against log quantity: over the whole range, and between its two
largest values, where fixed costs matter least. Compiled once for each value; fastest of the rounds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax.compiler_options import training_options
from maskformer_jax.config import ModelConfig
from maskformer_jax.criterion.mask_losses import compute_mask_losses
from maskformer_jax.criterion.masks import DisjointMasks
from maskformer_jax.matching.costs import compute_costs
from maskformer_jax.matching.match import match
from maskformer_jax.models.build import build_model, inference_model
from maskformer_jax.postprocess import ImageSizes, panoptic_inference, semantic_labels
from maskformer_jax.types import Predictions

LAYERS = 6
RANGES = {
    "queries": (50, 100, 200, 400),
    "targets": (5, 16, 64, 256),
    "side": (256, 512, 1024, 1536),
    "batch": (1, 2, 4, 8),
    "classes": (19, 150, 847),
}


class Sizes(NamedTuple):
    """The base values; smaller than a recipe's where that only saves time."""

    queries: int = 100
    targets: int = 16
    side: int = 256
    batch: int = 1
    classes: int = 150


def model(sizes: Sizes) -> tuple[Callable, tuple]:
    """R50's inference."""
    config = ModelConfig()
    config.transformer_decoder.num_queries = sizes.queries
    network = inference_model(build_model(config, num_classes=sizes.classes))
    images = np.zeros((sizes.batch, sizes.side, sizes.side, 3), np.uint8)
    variables = jax.jit(network.init)(jax.random.key(0), images[:1, :64, :64])
    return network.apply, (variables, images)


def costs(sizes: Sizes) -> tuple[Callable, tuple]:
    """The costs of all layers."""
    truth = make_masks(sizes).at_size((sizes.side // 4,) * 2)
    labels = np.zeros((sizes.batch, sizes.targets), np.int32)
    arguments = (make_predictions(sizes), truth, labels, np.ones_like(labels, bool))
    return compute_costs, arguments


def losses(sizes: Sizes) -> tuple[Callable, tuple]:
    """The mask losses and their gradient, every target matched as far as queries reach."""
    masks = make_masks(sizes)
    slots = np.arange(sizes.targets)
    query = np.where(slots < sizes.queries, slots, -1).astype(np.int32)
    assignment = np.broadcast_to(query, (sizes.batch, LAYERS, sizes.targets))

    def gradient(logits: Any, assignment: Any, masks: Any) -> Any:
        def total(logits: Any) -> Any:
            return compute_mask_losses(logits, assignment, masks).total.sum()

        return jax.value_and_grad(total)(logits)

    return gradient, (make_predictions(sizes).mask_logits, assignment, masks)


def matcher(sizes: Sizes) -> tuple[Callable, tuple]:
    """All assignments, in the program."""
    shape = (sizes.batch, LAYERS, sizes.queries, sizes.targets)
    cost = np.random.default_rng(0).random(shape, np.float32)
    valid = np.ones((sizes.batch, sizes.targets), bool)
    return partial(match, matcher="jax"), (cost, valid)


def semantic(sizes: Sizes) -> tuple[Callable, tuple]:
    """Labels of one image from its masks."""
    return partial(semantic_labels, sizes=image_sizes(sizes)), make_image(sizes)


def panoptic(sizes: Sizes) -> tuple[Callable, tuple]:
    """Segments of one image from its masks."""
    size = (sizes.side, sizes.side)
    function = partial(
        panoptic_inference,
        is_thing=np.arange(sizes.classes) % 2 == 0,
        padded_size=size,
        image_size=size,
        output_size=size,
    )
    return function, make_image(sizes)


PARTS = {
    part.__name__: (part, quantities)
    for part, quantities in (
        (model, ("queries", "side", "batch", "classes")),
        (costs, ("queries", "targets", "side", "batch", "classes")),
        (losses, ("queries", "targets", "side", "batch")),
        (matcher, ("queries", "targets", "batch")),
        (semantic, ("queries", "side", "classes")),
        (panoptic, ("queries", "side", "classes")),
    )
}


def make_predictions(sizes: Sizes) -> Predictions:
    """Random logits of all layers."""
    random = np.random.default_rng(0)
    leading = (LAYERS, sizes.batch, sizes.queries)
    maps = random.normal(size=(*leading, sizes.side // 4, sizes.side // 4)).astype(np.float32)
    return Predictions(np.zeros((*leading, sizes.classes + 1), np.float32), maps)


def make_masks(sizes: Sizes) -> DisjointMasks:
    """Random patches, each pixel in some target."""
    random = np.random.default_rng(0)
    patches = random.integers(0, sizes.targets, (sizes.batch, sizes.side // 16, sizes.side // 16))
    return DisjointMasks(jnp.asarray(patches.repeat(16, 1).repeat(16, 2), jnp.int16), sizes.targets)


def make_image(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Class and mask logits of one image."""
    random = np.random.default_rng(0)
    shape = (sizes.queries, sizes.side // 4, sizes.side // 4)
    classes = random.normal(size=(sizes.queries, sizes.classes + 1)).astype(np.float32) * 3
    return classes, random.normal(size=shape).astype(np.float32)


def image_sizes(sizes: Sizes) -> ImageSizes:
    """A square image without padding."""
    size = (sizes.side, sizes.side)
    return ImageSizes(size, size, size)


def main() -> None:
    """Measure and print a table row for each part and quantity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=tuple(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| part | quantity | values | milliseconds | exponent | of the last two |")
    print("|---|---|---|---|---|---|")
    for name, (part, quantities) in PARTS.items():
        if arguments.only not in (None, name):
            continue
        for quantity in quantities:
            values = RANGES[quantity]
            times = [
                measure(part, Sizes()._replace(**{quantity: value}), rounds=arguments.rounds)
                for value in values
            ]
            logs = np.log(values), np.log(times)
            last = (logs[1][-1] - logs[1][-2]) / (logs[0][-1] - logs[0][-2])
            cells = (
                *(name, quantity, ", ".join(map(str, values))),
                *(", ".join(f"{ms:.3g}" for ms in times), f"{np.polyfit(*logs, 1)[0]:.2f}"),
                f"{last:.2f}",
            )
            print("| " + " | ".join(cells) + " |", flush=True)


def measure(part: Callable[[Sizes], tuple[Callable, tuple]], sizes: Sizes, *, rounds: int) -> float:
    """Milliseconds of one call, the fastest of some."""
    function, arguments = part(sizes)
    options = training_options(jax.devices()[0])
    compiled = jax.jit(function, compiler_options=options).lower(*arguments).compile()
    arguments = jax.device_put(arguments)
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(1000 * (time.perf_counter() - begin))
    return min(times)


if __name__ == "__main__":
    main()
