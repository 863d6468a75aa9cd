"""The cost of a program on a topology, as text and as a record."""

from typing import Any

import jax
from tabulate import tabulate

from maskformer_jax.planning.cost import ProgramCost
from maskformer_jax.planning.topology import Topology

_MOST_PARTS = 8


def describe_plan(
    title: str, topology: Topology, cost: ProgramCost, *, turns: int, seconds: float
) -> str:
    """Describe what a program costs on each device, for people.

    Args:
        title: what the program does.
        topology: what it was compiled for.
        cost: of it.
        turns: how often loops of unknown length were counted.
        seconds: that compiling took.
    """
    chip, memory = topology.chip, cost.memory
    verdict = "fits" if memory.total <= chip.memory else "DOES NOT FIT"
    rows = [
        (
            "memory",
            f"{_gb(memory.total)} of {_gb(chip.memory)}: {verdict}",
            f"arguments {_gb(memory.arguments)}, temporary {_gb(memory.temporary)}, "
            f"results {_gb(memory.results)}, program {_gb(memory.program)}",
        ),
        ("operations", f"{cost.flops / 1e12:.3f} TFLOP", f"{_ms(cost.flops / chip.flops)} at peak"),
        (
            "traffic",
            _gb(cost.accessed),
            f"{_ms(cost.accessed / chip.bandwidth)}, if nothing stayed in fast memory",
        ),
    ]
    for one in cost.collectives:
        number = f"{_gb(one.received)} received"
        rows.append((one.kind, number, f"by {one.instructions} instructions, most of it at"))
        rows += [("", _gb(size), place) for place, size in one.origins]
    times = cost.times(chip)
    bound = max(times, key=times.__getitem__)
    rows.append(("time", f"{_ms(times[bound])} or more", f"bound by {bound}"))
    parts = list(cost.cycles.items())
    if parts and chip.clock:
        guessed = f"{_ms(cost.guessed_cycles / chip.clock)} of it in loops taken for {turns} turns"
        rows.append(("schedule", _ms(sum(cost.cycles.values()) / chip.clock), guessed))
        rows += [("", _ms(cycles / chip.clock), part) for part, cycles in parts[:_MOST_PARTS]]
    rows.append(("compiled", f"in {seconds:.0f} s", f"{cost.instructions:,} instructions"))
    heading = f"{title}\non {len(topology.devices)} x {topology.chip.name} ({topology.name})"
    note = "of one device; operations and traffic count the body of a loop once"
    return f"{heading}\n{tabulate(rows, tablefmt='plain', disable_numparse=True)}\n{note}"


def plan_record(
    title: str, topology: Topology, cost: ProgramCost, *, seconds: float
) -> dict[str, Any]:
    """The figures as plain types: bytes, operations, seconds and cycles of one device."""
    return {
        "title": title,
        "topology": topology.name,
        "devices": len(topology.devices),
        "jax": jax.__version__,
        "memory": cost.memory._asdict() | {"total": cost.memory.total},
        "fits": cost.memory.total <= topology.chip.memory,
        "flops": cost.flops,
        "accessed": cost.accessed,
        "collectives": {one.kind: one._asdict() for one in cost.collectives},
        "cycles": cost.cycles,
        "guessed_cycles": cost.guessed_cycles,
        "seconds": cost.times(topology.chip),
        "compile_seconds": seconds,
        "instructions": cost.instructions,
    }


def _gb(size: int | float) -> str:
    return f"{size / 1e9:.2f} GB"


def _ms(seconds: int | float) -> str:
    return f"{1e3 * seconds:.1f} ms"
