"""The cost of a compiled program: memory, operations, traffic, collectives, estimated time."""

import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

import jax

from maskformer_jax.planning.chips import Chip
from maskformer_jax.planning.hlo import (
    Hlo,
    Instruction,
    estimated_cycles,
    fused,
    operation_name,
    parse_hlo,
    shape_bytes,
    traffic,
    walk_executed,
)

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
PARTS = ("backbone", "pixel_decoder", "transformer_decoder")


class Memory(NamedTuple):
    """Bytes on one device."""

    arguments: int  # such as the train state and the batch
    temporary: int
    results: int  # beyond those written over the arguments
    program: int

    @property
    def total(self) -> int:
        """All of it, which must fit."""
        return sum(self)


class Collective(NamedTuple):
    """The collectives of one kind."""

    kind: str
    instructions: int  # in the program's text: those of a loop count once
    received: int  # bytes that each device receives in a run, loops included
    origins: list[tuple[str, int]]  # the most costly places in the model, and their bytes


class ProgramCost(NamedTuple):
    """The cost of one run of a program on each device.

    Bodies of loops count once in operations and traffic, as XLA counts them, and as often as they
    run in everything else.
    """

    memory: Memory
    flops: float
    accessed: float  # bytes, were every intermediate result written to memory and read again
    collectives: list[Collective]
    cycles: dict[str, int]  # estimated, by part of the program; empty where there is no estimate
    guessed_cycles: int  # of those, inside loops of unknown length
    instructions: int

    def times(self, chip: Chip) -> dict[str, float]:
        """Seconds by what could bound the run; the largest does, or more where they add up."""
        times = {
            "arithmetic": self.flops / chip.flops,
            "collectives": sum(one.received for one in self.collectives) / chip.interconnect,
        }
        if self.cycles and chip.clock:
            times["compiler's schedule"] = sum(self.cycles.values()) / chip.clock
        else:
            # The schedule knows what stays in fast memory; without it this is an upper bound.
            times["memory traffic"] = self.accessed / chip.bandwidth
        return times


def read_cost(
    compiled: jax.stages.Compiled, *, unknown_turns: int, flops: float | None = None
) -> ProgramCost:
    """Read the cost of a compiled program.

    Args:
        compiled: for any device, present or not.
        unknown_turns: how often loops of unknown length run, such as that over the segments of
            an image.
        flops: operations of one device, where XLA gives no analysis of the compiled program, as for
            GPUs that are not there. Its traffic is then read out of the program's text.
    """
    hlo = parse_hlo(compiled.as_text() or "")
    cycles: Counter[str] = Counter()
    received: defaultdict[str, Counter[str]] = defaultdict(Counter)
    counts: Counter[str] = Counter()
    guessed_cycles = instructions = 0
    for instruction, times, guessed in walk_executed(hlo, unknown_turns=unknown_turns):
        instructions += 1
        name = operation_name(instruction)
        if instruction.opcode != "while":
            own = times * estimated_cycles(instruction)
            cycles[part_of(name)] += own
            guessed_cycles += own if guessed else 0
        if found := _find_collective(instruction, hlo):
            kind, size = found
            counts[kind] += 1
            received[kind][_origin(name)] += times * size
    analysis: Any = compiled.cost_analysis() or {
        "flops": flops or 0.0,
        "bytes accessed": traffic(hlo),
    }
    return ProgramCost(
        memory=_memory(compiled),
        flops=analysis.get("flops", 0.0),
        accessed=analysis.get("bytes accessed", 0.0),
        collectives=[
            Collective(kind, counts[kind], places.total(), places.most_common(3))
            for kind, places in sorted(received.items(), key=lambda item: -item[1].total())
        ],
        cycles={part: own for part, own in cycles.most_common() if own},
        guessed_cycles=guessed_cycles,
        instructions=instructions,
    )


def part_of(name: str) -> str:
    """The part of the program that an operation belongs to, by its path of names."""
    backward = ", backward" if "transpose(" in name else ""
    for part in PARTS:
        if part in name:
            return part.replace("_", " ") + backward
    if "/while" in name:
        return "loops" + backward
    return "rest"


def _memory(compiled: jax.stages.Compiled) -> Memory:
    stats: Any = compiled.memory_analysis()
    arguments, temporary, output, alias, program = (
        getattr(stats, f"{name}_size_in_bytes", 0)
        for name in ("argument", "temp", "output", "alias", "generated_code")
    )
    return Memory(arguments, temporary, max(output - alias, 0), program)


def _find_collective(instruction: Instruction, hlo: Hlo) -> tuple[str, int] | None:
    """The kind of a collective and the bytes that each device receives, on a ring of many.

    It may run in the background or stand in a fusion; on a TPU an all-reduce of which each device
    keeps a slice is a reduce-scatter.
    """
    if instruction.opcode.endswith("-done"):
        return None  # counted where it started
    inner = [instruction]
    if instruction.opcode in ("fusion", "async-start", "custom-call"):
        inner = fused(instruction, hlo)
    for one in inner:
        if (kind := one.opcode.removesuffix("-start")) not in COLLECTIVES:
            continue
        sizes = shape_bytes(one.shape)
        if one.opcode.endswith("-start") and sizes:
            sizes = [max(sizes)]  # operands and results in one tuple
        if kind == "all-reduce" and any(other.opcode == "dynamic-slice" for other in inner):
            kind = "reduce-scatter"
        elif kind == "reduce-scatter":
            sizes = [size * _group_size(one) for size in sizes]
        # An all-reduce is a reduce-scatter and an all-gather.
        return kind, sum(sizes) * (2 if kind == "all-reduce" else 1)
    return None


def _group_size(collective: Instruction) -> int:
    """How many devices take part, from replica_groups={{0,1},{2,3}} or =[2,2]<=[4]."""
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", collective.rest)
    counted = re.search(r"replica_groups=\[(\d+),(\d+)\]", collective.rest)
    if listed:
        return len(listed[1].split(","))
    return int(counted[2]) if counted else 1


def _origin(name: str) -> str:
    """A place in the model: the path of modules without JAX's transformations."""
    words = re.sub(r"\w+\(|\)", "", name).split("/")
    return "/".join(word for word in words if word and word != "train_step")[:80] or "unnamed"
