"""Reading a compiled program: the text that XLA prints of its optimised instructions."""

import re
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

_SHAPE = re.compile(r"\b([a-z]+[0-9a-z]*)\[([0-9,]*)\]")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.+?) ([\w\-]+)\((.*)$")
_BITS = {"pred": 8, "f8e4m3fn": 8, "f8e5m2": 8, "bf16": 16, "c64": 64, "c128": 128}

# What a device doesn't run: names for values, and instructions whose parts count by themselves.
_NO_KERNELS = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
    *("while", "call", "conditional"),
}


class Instruction(NamedTuple):
    """One instruction of a computation."""

    name: str
    shape: str  # of the result, such as "f32[8,128]{1,0}", or a tuple of such
    opcode: str
    rest: str  # operands, attributes and metadata


class Hlo(NamedTuple):
    """A program as named lists of instructions."""

    computations: dict[str, list[Instruction]]
    entry: str


class Executed(NamedTuple):
    """An instruction that runs, and how often."""

    instruction: Instruction
    times: int
    guessed: bool  # inside a loop whose number of turns the program decides


def parse_hlo(text: str) -> Hlo:
    """Parse what `compiled.as_text()` gives."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        opens = line.endswith("{") and not line.startswith(" ")
        if opens and ("->" in line or line.startswith("ENTRY")):
            name = line.removeprefix("ENTRY ").split()[0].lstrip("%")
            current = computations.setdefault(name, [])
            if line.startswith("ENTRY"):
                entry = name
        elif line.startswith("}"):
            current = None
        elif current is not None and (found := _INSTRUCTION.match(line)):
            current.append(Instruction(*found.groups()))
    return Hlo(computations, entry)


def walk_executed(hlo: Hlo, *, unknown_turns: int) -> Iterator[Executed]:
    """All instructions that run, those of fusions as one.

    Args:
        hlo: the program.
        unknown_turns: how often loops of unknown length run.
    """
    pending = [(hlo.entry, 1, False)]
    while pending:
        name, times, guessed = pending.pop()
        for instruction in hlo.computations.get(name, ()):
            yield Executed(instruction, times, guessed)
            if instruction.opcode == "while":
                trips = re.search(r'known_trip_count":\{"n":"(\d+)"', instruction.rest)
                turns = int(trips[1]) if trips else unknown_turns
                inner = re.findall(r"(?:body|condition)=%?([\w.\-]+)", instruction.rest)
                pending += [(one, times * turns, guessed or not trips) for one in inner]
            elif instruction.opcode in ("call", "conditional"):
                pending += [(one, times, guessed) for one in _called(instruction, hlo)]


def traffic(hlo: Hlo) -> int:
    """Bytes that all kernels together read and write, once each, were none kept in fast memory."""
    shapes = {one.name: one.shape for each in hlo.computations.values() for one in each}
    total = 0
    for instruction, _, _ in walk_executed(hlo, unknown_turns=1):
        if instruction.opcode in _NO_KERNELS or instruction.opcode.endswith("-done"):
            continue
        operands = re.findall(r"%([\w.\-]+)", instruction.rest.partition(")")[0])
        moved = [instruction.shape, *(shapes.get(name, "") for name in operands)]
        total += sum(sum(shape_bytes(shape)) for shape in moved)
    return total


def fused(instruction: Instruction, hlo: Hlo) -> list[Instruction]:
    """The instructions that a fusion, or one that runs in the background, stands for."""
    target = re.search(r"(?:calls|to_apply)=%?([\w.\-]+)", instruction.rest)
    return hlo.computations.get(target[1], []) if target else []


def operation_name(instruction: Instruction) -> str:
    """Where the instruction comes from: JAX's names of functions and modules, as a path."""
    found = re.search(r'op_name="([^"]*)"', instruction.rest)
    return found[1] if found else ""


def estimated_cycles(instruction: Instruction) -> int:
    """The TPU compiler's estimate; 0 where there is none."""
    found = re.search(r'"estimated_cycles":"(\d+)"', instruction.rest)
    return int(found[1]) if found else 0


def shape_bytes(shape: str) -> list[int]:
    """The sizes of the arrays of a shape, which is a tuple or a single array."""
    sizes = []
    for dtype, dimensions in _SHAPE.findall(shape):
        digits = re.search(r"\d+$", dtype)
        bits = _BITS.get(dtype) or (int(digits[0]) if digits else None)
        if bits is not None:
            sizes.append(prod(int(d) for d in dimensions.split(",") if d) * bits // 8)
    return sizes


def _called(instruction: Instruction, hlo: Hlo) -> list[str]:
    attributes = r"(?:to_apply|calls|branch_computations|true_computation|false_computation)"
    found = re.findall(attributes + r"=\{?([^},]*(?:,\s*%[^},]*)*)", instruction.rest)
    names = [name.strip().lstrip("%") for group in found for name in group.split(",")]
    return [name for name in names if name in hlo.computations]
