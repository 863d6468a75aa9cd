"""`plan`: what training or evaluation would cost on devices that this machine does not have."""

import copy
import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.commands.parser import CommandParser, read_config, user_path
from maskformer_jax.config import Config
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

if TYPE_CHECKING:
    import jax

    from maskformer_jax.planning.topology import Topology

SUMMARY = (
    "Compile the train step, or evaluation, for devices that are not there, and print what one run "
    "of it costs on each: memory, operations, collectives, and the compiler's estimate of its time."
    "\nNothing runs and no data is read. It takes minutes for a real model, and needs the extra "
    "plan-tpu (TPUs) or plan-gpu (H100)."
)


def run(argv: Sequence[str]) -> None:
    """Compile for the topology and print the report.

    Raises:
        UserError: the config is wrong, or there is no compiler for the topology.
    """
    parser = CommandParser("plan", SUMMARY, config="required")
    parser.add_argument(
        "--topology",
        required=True,
        metavar="CHIP:SHAPE",
        help="v4, v5e, v5p or v6e and the sides of the slice, such as v5e:4x4, or h100 and the "
        "number of GPUs, such as h100:8",
    )
    parser.add_argument(
        "--what", choices=("train", "eval"), default="train", help="what to compile; default: train"
    )
    parser.add_argument(
        "--size", type=_size, metavar="HxW", help="of the images; by default the recipe's largest"
    )
    parser.add_argument(
        "--segments",
        type=int,
        default=20,
        metavar="N",
        help="in the image that has most; the loss takes a turn for each (default: 20)",
    )
    parser.add_argument(
        "--json", type=user_path, metavar="FILE", help="also write the figures there"
    )
    arguments, overrides = parser.read(argv)
    config = read_config(arguments.config, overrides)

    import jax

    # Nothing runs here, and libtpu would look for a TPU if JAX asked it for one.
    jax.config.update("jax_platforms", "cpu")

    from maskformer_jax.planning.cost import read_cost
    from maskformer_jax.planning.report import describe_plan, plan_record
    from maskformer_jax.planning.topology import describe_topology

    if config.loss.matcher == "scipy":
        raise UserError(
            "config.loss.matcher is 'scipy', but must be 'auto' or 'jax': a callback to the host "
            "cannot be compiled for devices that are not there"
        )
    topology = describe_topology(arguments.topology)
    lowered, title = _lower(arguments.what, config, topology, arguments.size)
    begin = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - begin
    flops = None
    if compiled.cost_analysis() is None:
        flops = _count_operations(arguments.what, config, topology, arguments.size)
    cost = read_cost(compiled, unknown_turns=arguments.segments, flops=flops)
    print(describe_plan(title, topology, cost, turns=arguments.segments, seconds=seconds))
    if arguments.json:
        record = plan_record(title, topology, cost, seconds=seconds)
        write_atomically(arguments.json, json.dumps(record, indent=1) + "\n")


def _count_operations(what: str, config: Config, topology: "Topology", size: Size | None) -> float:
    """Operations of one device, as XLA counts them for a CPU in the program it has yet to compile.

    For GPUs that are not there it does not count any.
    """
    import jax

    host = topology._replace(devices=jax.devices("cpu")[:1])
    alone = copy.deepcopy(config)
    alone.mesh.data, alone.mesh.fsdp, alone.eval.batch_size = -1, 1, 1
    analysis: Any = _lower(what, alone, host, size)[0].cost_analysis()
    # All images of a step, but of an evaluation one image of one device.
    share = 1 / len(topology.devices) if what == "train" else config.eval.batch_size
    return float(analysis["flops"]) * share


def _size(text: str) -> Size:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ValueError(text)
    return int(found[1]), int(found[2])


def _lower(
    what: str, config: Config, topology: "Topology", size: Size | None
) -> tuple["jax.stages.Lowered", str]:
    """The program that is asked for, and what it does."""
    lower = _lower_step if what == "train" else _lower_evaluation
    return lower(config, topology, size)


def _lower_step(
    config: Config, topology: "Topology", size: Size | None
) -> tuple["jax.stages.Lowered", str]:
    """The train step of a run on all devices."""
    import jax

    from maskformer_jax.training.cost_report import abstract_batch
    from maskformer_jax.training.loop import Training
    from maskformer_jax.training.mesh import abstract_arrays, batch_sharding

    training = Training(config, devices=topology.devices)
    batch = abstract_batch(config, size=size)
    sharding = batch_sharding(training.mesh)
    batch = abstract_arrays(batch, jax.tree.map(lambda _: sharding, batch))
    height, width = batch.image.shape[1:3]
    title = (
        f"{config.name}: a train step of {config.train.batch_size} images of {height} x {width} "
        f"in {config.model.compute_dtype}, {training.mesh.shape['data']} (data) x "
        f"{training.mesh.shape['fsdp']} (fsdp)"
    )
    return training.step.lower(training.template, batch), title


def _lower_evaluation(
    config: Config, topology: "Topology", size: Size | None
) -> tuple["jax.stages.Lowered", str]:
    """Network and post-processing of one batch on the devices of one host."""
    import jax

    from maskformer_jax.data.registry import load_dataset_info
    from maskformer_jax.evaluation.buckets import Bucket
    from maskformer_jax.evaluation.devices import LocalDevices
    from maskformer_jax.evaluation.programs import Programs
    from maskformer_jax.models.build import build_model
    from maskformer_jax.zoo.cost import measure_cost

    info = load_dataset_info(config.data.dataset)
    model = build_model(config.model, num_classes=info.num_classes)
    size = size or measure_cost(config, num_classes=info.num_classes).input_size
    devices = [one for one in topology.devices if one.process_index == 0]
    programs = Programs(model, config, categories=info.categories, devices=LocalDevices(devices))
    blank: Any = jax.ShapeDtypeStruct((1, 64, 64, 3), "uint8")
    variables = jax.eval_shape(model.init, jax.random.key(0), blank)
    bucket = Bucket(image_size=size, output_size=size, shrinkage=1.0, exact=False)
    title = (
        f"{config.name}: evaluation ({config.eval.task}) of {programs.batch_size} images of "
        f"{size[0]} x {size[1]} in {config.model.compute_dtype} on one host"
    )
    return programs.lower(variables, bucket), title
