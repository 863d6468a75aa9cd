"""The cost of programs that this machine compiles: memory, operations, collectives."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from maskformer_jax.planning.chips import CHIPS
from maskformer_jax.planning.cost import (
    Collective,
    Memory,
    ProgramCost,
    _find_collective,
    read_cost,
)
from maskformer_jax.planning.hlo import parse_hlo
from maskformer_jax.planning.report import describe_plan, plan_record
from maskformer_jax.planning.topology import Topology

MESH = Mesh(np.array(jax.devices()[:4]), ("data",))


def compile_sharded(function, *shapes: tuple, specs: tuple, out: PartitionSpec):
    arguments = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(MESH, spec))
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    return jax.jit(function, out_shardings=NamedSharding(MESH, out)).lower(*arguments).compile()


def test_an_all_reduce_crosses_twice_and_is_named() -> None:
    def gradient(x: jax.Array, w: jax.Array) -> jax.Array:
        with jax.named_scope("backbone"):
            return x.T @ (x @ w)

    split, whole = PartitionSpec("data"), PartitionSpec()
    shapes = ((64, 32), (32, 16))
    cost = read_cost(
        compile_sharded(gradient, *shapes, specs=(split, whole), out=whole), unknown_turns=1
    )
    (reduced,) = cost.collectives
    assert (reduced.kind, reduced.instructions) == ("all-reduce", 1)
    assert reduced.received == 2 * 4 * 32 * 16
    assert "backbone" in reduced.origins[0][0]
    # On each device two products of 16 rows.
    assert cost.flops == pytest.approx(2 * 2 * 16 * 32 * 16, rel=0.05)
    assert cost.memory.arguments == 4 * (16 * 32 + 32 * 16)


def test_an_all_gather_in_a_loop_counts_for_each_turn() -> None:
    def program(x: jax.Array) -> jax.Array:
        whole = NamedSharding(MESH, PartitionSpec())
        split = NamedSharding(MESH, PartitionSpec("data"))

        def turn(_: int, x: jax.Array) -> jax.Array:
            gathered = jax.lax.with_sharding_constraint(x, whole)
            return jax.lax.with_sharding_constraint(jnp.sin(gathered)[::-1], split)

        return jax.lax.fori_loop(0, 5, turn, x)

    split = PartitionSpec("data")
    cost = read_cost(compile_sharded(program, (64,), specs=(split,), out=split), unknown_turns=1)
    received = {one.kind: one.received for one in cost.collectives}
    assert received["all-gather"] == 5 * 64 * 4


FUSED = """HloModule step

%fused.1 (p: f32[64]) -> f32[16] {
  %p = f32[64]{0} parameter(0)
  %sum = f32[64]{0} all-reduce(%p), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %mine = f32[16]{0} dynamic-slice(%sum, %p), dynamic_slice_sizes={16}
}

ENTRY %main.1 (x: f32[64]) -> f32[16] {
  %x = f32[64]{0} parameter(0)
  %other = f32[16]{0} reduce-scatter(%x), replica_groups=[2,4]<=[8], dimensions={0}
  ROOT %out = f32[16]{0} fusion(%x), kind=kCustom, calls=%fused.1
}
"""


def test_a_sum_of_which_a_slice_is_kept_is_a_reduce_scatter() -> None:
    hlo = parse_hlo(FUSED)
    _, other, out = hlo.computations["main.1"]
    assert _find_collective(out, hlo) == ("reduce-scatter", 64 * 4)
    assert _find_collective(other, hlo) == ("reduce-scatter", 4 * 16 * 4)


def made_cost(**fields: object) -> ProgramCost:
    values = {
        "memory": Memory(arguments=10**9, temporary=4 * 10**9, results=0, program=10**8),
        "flops": 1.97e12,
        "accessed": 8.19e9,
        "collectives": [Collective("all-gather", 3, 4 * 10**9, [("backbone/conv1", 4 * 10**9)])],
        "cycles": {"backbone": 30_000_000, "loops": 7_500_000},
        "guessed_cycles": 7_500_000,
        "instructions": 1234,
    }
    return ProgramCost(**(values | fields))


def test_the_largest_time_bounds() -> None:
    chip = CHIPS["v5e"]
    times = made_cost().times(chip)
    assert times == pytest.approx(
        {"arithmetic": 0.01, "collectives": 0.02, "compiler's schedule": 0.025}
    )
    assert made_cost(cycles={}).times(chip)["memory traffic"] == pytest.approx(0.01)


def test_the_report_says_whether_it_fits_and_where_bytes_come_from() -> None:
    topology = Topology("v5e:2x2", CHIPS["v5e"], [SimpleNamespace()] * 4)
    text = describe_plan("a step", topology, made_cost(), turns=20, seconds=61.0)
    assert "5.10 GB of 16.00 GB: fits" in text
    assert "4.00 GB" in text
    assert "backbone/conv1" in text
    assert "25.0 ms or more" in text
    assert "5.0 ms of it in loops taken for 20 turns" in text
    large = made_cost(memory=Memory(10**9, 16 * 10**9, 0, 0))
    assert "DOES NOT FIT" in describe_plan("a step", topology, large, turns=20, seconds=61.0)
    record = plan_record("a step", topology, large, seconds=61.0)
    assert record["fits"] is False
    assert record["memory"]["total"] == 17 * 10**9
