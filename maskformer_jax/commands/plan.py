"""`plan`: what training or evaluation would cost on devices that this machine does not have."""

import copy
import json
import re
import time
from collections.abc import Sequence
from typing import Any

from maskformer_jax.atomic_write import write_atomically
from maskformer_jax.commands.parser import CommandParser, read_config, user_path
from maskformer_jax.config import Config
from maskformer_jax.errors import UserError
from maskformer_jax.types import Size

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
        "--output-size",
        type=_size,
        metavar="HxW",
        help="of results, with --what=eval: that of the image on disk; by default --size",
    )
    parser.add_argument(
        "--segments",
        type=int,
        default=20,
        metavar="N",
        help="in the image that has most, with --what=train: the loss takes a turn for each "
        "(default: 20)",
    )
    parser.add_argument(
        "--json", type=user_path, metavar="FILE", help="also write the figures there"
    )
    arguments, overrides = parser.read(argv)
    config = read_config(arguments.config, overrides)

    import jax

    # Nothing runs here, and libtpu would look for a TPU if JAX asked it for one.
    jax.config.update("jax_platforms", "cpu")

    from maskformer_jax.commands.planned_programs import (
        PlannedProgram,
        plan_evaluation,
        plan_step,
    )
    from maskformer_jax.planning.cost import read_cost
    from maskformer_jax.planning.report import describe_plan, plan_record
    from maskformer_jax.planning.topology import Topology, describe_topology

    if config.loss.matcher == "scipy":
        raise UserError(
            "config.loss.matcher is 'scipy', but must be 'auto' or 'jax': a callback to the host "
            "cannot be compiled for devices that are not there"
        )
    if arguments.output_size and arguments.what == "train":
        raise UserError("--output-size is of results, and needs --what=eval")
    topology = describe_topology(arguments.topology)

    def lower(config: Config, topology: Topology) -> PlannedProgram:
        size, segments, output_size = arguments.size, arguments.segments, arguments.output_size
        if arguments.what == "train":
            return plan_step(config, topology, size=size, segments=segments)
        return plan_evaluation(config, topology, size=size, output_size=output_size)

    program = lower(config, topology)
    begin = time.perf_counter()
    compiled = program.lowered.compile()
    seconds = time.perf_counter() - begin
    flops = None
    if compiled.cost_analysis() is None:
        # XLA counts no operations for GPUs that are not there, but for a CPU it does, of all
        # images of a step, but of one image of an evaluation, before it compiles anything.
        host = topology._replace(devices=jax.devices("cpu")[:1])
        analysis: Any = lower(_for_one_device(config), host).lowered.cost_analysis()
        train = arguments.what == "train"
        share = 1 / len(topology.devices) if train else config.eval.batch_size
        flops = float(analysis["flops"]) * share
    cost = read_cost(compiled, unknown_turns=program.turns, flops=flops)
    print(describe_plan(program.title, topology, cost, turns=program.turns, seconds=seconds))
    if arguments.json:
        record = plan_record(program.title, topology, cost, seconds=seconds)
        write_atomically(arguments.json, json.dumps(record, indent=1) + "\n")


def _for_one_device(config: Config) -> Config:
    alone = copy.deepcopy(config)
    alone.mesh.data, alone.mesh.fsdp, alone.eval.batch_size = -1, 1, 1
    return alone


def _size(text: str) -> Size:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found:
        raise ValueError(text)
    return int(found[1]), int(found[2])
