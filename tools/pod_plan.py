"""Calculate the memory and the traffic of a training step on many devices, without running it.

    python -m tools.pod_plan --config=ade20k-150/maskformer_R50_bs16_160k --devices=256 --fsdp=1

Prints bytes per device and step, from the model's parameter count and the sizes in the config. For
times, divide by the bandwidths of the machine. docs/pods.md explains the lines.
"""

import argparse
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from maskformer_jax.config import Config
from maskformer_jax.config.io import load_config
from maskformer_jax.data.registry import load_dataset_info
from maskformer_jax.models.build import build_model

FLOAT = 4  # bytes; parameters, gradients and Adam's moments are float32
PIXEL = 3 + 1 + 2  # bytes of a training pixel: RGB, valid, segment index


class Plan(NamedTuple):
    """Bytes per device; for transfers, also per step."""

    parameters: int  # a count, not bytes
    state: float  # parameters and Adam's two moments, persistent
    gradients: float  # temporary, all of them before they are scattered
    inside: float  # sent within an fsdp group: two gathers of parameters, one scatter of gradients
    across: float  # sent between groups: the all-reduce of the gradients
    input: float  # from host to device
    matching: float  # from device to host: the matching costs of all layers


def make_plan(config: Config, *, parameters: int, devices: int, fsdp: int, batch: int) -> Plan:
    """Plan a step on a mesh of (devices / fsdp, fsdp), assuming ring collectives."""
    groups, size = devices // fsdp, parameters * FLOAT
    share = batch / devices
    decoder = config.model.transformer_decoder
    height, width = config.data.augment.crop_size
    costs = decoder.num_layers * decoder.num_queries * config.data.num_segments * FLOAT
    return Plan(
        parameters=parameters,
        state=3 * size / fsdp,
        gradients=size,
        inside=3 * size * (fsdp - 1) / fsdp,
        across=2 * size / fsdp * (groups - 1) / groups,
        input=share * height * width * PIXEL,
        matching=share * costs,
    )


def count_parameters(config: Config) -> int:
    """Count the parameters of a config's model without creating it."""
    classes = load_dataset_info(config.data.dataset).num_classes
    model = build_model(config.model, num_classes=classes)
    images = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def main() -> None:
    """Print one plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--fsdp", type=int, default=1)
    parser.add_argument("--batch-size", type=int, help="global; default: one image per device")
    options = parser.parse_args()
    config = load_config(options.config)
    plan = make_plan(
        config,
        parameters=count_parameters(config),
        devices=options.devices,
        fsdp=options.fsdp,
        batch=options.batch_size or options.devices,
    )
    print(f"{'parameters':12}{plan.parameters:,}")
    for name, value in zip(plan._fields[1:], plan[1:], strict=True):
        print(f"{name:12}{value / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
