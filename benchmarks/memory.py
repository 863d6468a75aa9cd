"""Memory of a training step according to the compiler, with and without the options that save it.

    python -m benchmarks.memory [--topology=v5e:2x2] [--images=2] [--size=640]

Compiles the step of the ResNet-50 model for one device and prints XLA's figures; nothing runs.
With --topology, the step is compiled for one chip of it, which needs libtpu but no TPU.
"""

import argparse

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

from maskformer_jax.config import Config
from maskformer_jax.models.build import build_model
from maskformer_jax.training.cost_report import abstract_batch, measure_step
from maskformer_jax.training.mesh import BATCH_AXES, make_mesh, state_shardings
from maskformer_jax.training.optimizer import make_optimizer
from maskformer_jax.training.state import create_train_state, make_init
from maskformer_jax.training.step import make_train_step

NUM_CLASSES = 150
VARIANTS = {
    "plain": {},
    "remat": {"model.remat": True, "loss.by_layer": True},
    "remat, points": {
        "model.remat": True,
        "loss.by_layer": True,
        "loss.num_points": 12544,
        "loss.num_cost_points": 12544,
    },
    "remat, points, bfloat16": {
        "model.remat": True,
        "loss.by_layer": True,
        "loss.num_points": 12544,
        "loss.num_cost_points": 12544,
        "model.compute_dtype": "bfloat16",
    },
}


def main() -> None:
    """Compile each variant and print a table row for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--topology", default="", help="such as v5e:2x2; default: this machine")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--only", default="", help="name of one variant")
    arguments = parser.parse_args()
    baseline = None
    for name, settings in VARIANTS.items():
        if arguments.only and name != arguments.only:
            continue
        cost = measure_step(compile_step(arguments, settings))
        assert cost.temporary is not None
        baseline = baseline or cost.temporary
        print(
            f"| {name} | {cost.temporary / 2**20:,.0f} MiB | {cost.temporary / baseline:.0%} "
            f"| {(cost.flops or 0) / 1e9:,.0f} GFLOP |",
            flush=True,
        )


def compile_step(arguments: argparse.Namespace, settings: dict) -> jax.stages.Compiled:
    """Compile the step of one variant for one device."""
    config = Config()
    config.train.batch_size = arguments.images
    config.data.num_segments = arguments.segments
    config.data.augment.crop_size = (arguments.size, arguments.size)
    config.loss.matcher = "jax"  # a host callback cannot be compiled for an absent device
    for path, value in settings.items():
        section, field = path.split(".")
        setattr(getattr(config, section), field, value)
    if arguments.topology:
        described = topologies.get_topology_desc(platform="tpu", topology_name=arguments.topology)
        devices = np.array(described.devices[:1]).reshape(1, 1)
        mesh = Mesh(devices, BATCH_AXES, axis_types=(AxisType.Auto,) * 2)
    else:
        config.mesh.data = 1
        mesh = make_mesh(config.mesh, batch_size=arguments.images)
    model = build_model(config.model, num_classes=NUM_CLASSES)
    init = make_init(model, config)
    optimizer = make_optimizer(config, jax.eval_shape(init)["params"])
    state = jax.eval_shape(lambda: create_train_state(init(), optimizer))
    step = make_train_step(
        model,
        optimizer,
        config,
        num_classes=NUM_CLASSES,
        mesh=mesh,
        shardings=state_shardings(state, mesh),
    )
    return step.lower(state, abstract_batch(config)).compile()


if __name__ == "__main__":
    main()
