"""Reading the text of a program: instructions, loops, branches, shapes."""

from maskformer_jax.planning.cost import part_of, read_cost
from maskformer_jax.planning.hlo import (
    estimated_cycles,
    operation_name,
    parse_hlo,
    shape_bytes,
    traffic,
    walk_executed,
)

TEXT = """HloModule jit_step, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%body.1 (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p = (s32[], f32[4]{0}) parameter(0)
  %inner = f32[4]{0:T(128)} fusion(%p), calls=%fused.2, backend_config={"estimated_cycles":"10"}
  ROOT %out = (s32[], f32[4]{0}) tuple(%p, %inner)
}

%cond.1 (p: (s32[], f32[4])) -> pred[] {
  %p.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] compare(%p.1, %p.1), direction=LT
}

%fused.2 (q: f32[4]) -> f32[4] {
  %q = f32[4]{0} parameter(0)
  ROOT %twice = f32[4]{0} add(%q, %q)
}

%first.3 (r: f32[4]) -> f32[4] {
  ROOT %r = f32[4]{0} parameter(0)
}

%second.3 (s: f32[4]) -> f32[4] {
  %s = f32[4]{0} parameter(0)
  ROOT %negated = f32[4]{0} negate(%s)
}

ENTRY %main.9 (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %known = (s32[], f32[4]) while(%x), condition=%cond.1, body=%body.1,{"known_trip_count":{"n":"3"}}
  %unknown = (s32[], f32[4]{0}) while(%known), condition=%cond.1, body=%body.1
  %chosen = f32[4]{0} conditional(%x, %x, %x), branch_computations={%first.3, %second.3}
  ROOT %last = f32[4]{0} copy(%chosen), metadata={op_name="jit(s)/transpose(jvp(M))/backbone/add"}
}
"""


def test_loops_count_as_often_as_they_run() -> None:
    hlo = parse_hlo(TEXT)
    assert hlo.entry == "main.9"
    executed = list(walk_executed(hlo, unknown_turns=20))
    inner = [(one.times, one.guessed) for one in executed if one.instruction.name == "inner"]
    assert sorted(inner) == [(3, False), (20, True)]
    names = [one.instruction.name for one in executed]
    assert "negated" in names
    assert "twice" not in names
    cycles = sum(one.times * estimated_cycles(one.instruction) for one in executed)
    assert cycles == 230


def test_traffic_is_what_each_kernel_reads_and_writes_once() -> None:
    # inner reads a pair, s32 and f32[4], and writes f32[4], less compares two of them; both loops
    # have them. negated and copy read and write f32[4]. The rest names values.
    inner, less = 20 + 16, 20 + 20 + 1
    assert traffic(parse_hlo(TEXT.replace("s32[]", "s32[1]"))) == 2 * (inner + less) + 32 + 32


def test_names_tell_the_part_of_the_model() -> None:
    last = parse_hlo(TEXT).computations["main.9"][-1]
    assert last.opcode == "copy"
    assert last.shape == "f32[4]{0}"
    assert part_of(operation_name(last)) == "backbone, backward"
    assert part_of("jit(step)/jvp(M)/pixel_decoder/layer_1/conv") == "pixel decoder"
    assert part_of("jit(step)/while/body/add") == "loops"
    assert part_of("jit(step)/add") == "rest"


def test_sizes_of_shapes() -> None:
    assert shape_bytes("bf16[8,128]{1,0:T(8,128)(2,1)}") == [2048]
    assert shape_bytes("(f32[2,3]{1,0}, pred[5]{0}, s4[4]{0}, u32[])") == [24, 5, 2, 4]
    assert shape_bytes("token[]") == []


def test_a_compiled_loop_of_known_length_is_followed() -> None:
    import jax
    import jax.numpy as jnp

    def program(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 7, lambda _, x: jnp.sin(x) @ x, x)

    compiled = jax.jit(program).lower(jnp.ones((8, 8))).compile()
    executed = list(walk_executed(parse_hlo(compiled.as_text()), unknown_turns=2))
    assert {one.times for one in executed} == {1, 7}
    assert not any(one.guessed for one in executed)
    assert read_cost(compiled, unknown_turns=2).instructions == len(executed)
