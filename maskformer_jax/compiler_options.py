"""Compiler options without which XLA would be slow or would undo what a program asks for."""

from functools import cache

import jax

# A library whose kernel gradients of convolutions take up to five times as long as XLA's own and
# are ten times less precise; forwards it is a little faster (docs/benchmarks.md). An empty list of
# fusion types leaves it out.
_YNN = "xla_cpu_experimental_ynn_fusion_type"


def compiler_options(platform: str, *, remat: bool = False) -> dict[str, str]:
    """Options for `jax.jit(..., compiler_options=...)` of a program that has gradients.

    Args:
        platform: of the devices, such as "cpu".
        remat: keep XLA from merging the recomputation that `jax.checkpoint` asks for with the first
            computation. It puts barriers between the two, which the CPU compiler takes out before
            it looks for equal computations, so that nothing would be saved; others leave them in.
    """
    if platform != "cpu":
        return {}
    options = {_YNN: ""} if _is_known(_YNN) else {}
    if remat:
        options["xla_disable_hlo_passes"] = "cse_barrier_expander"
    return options


@cache
def _is_known(option: str) -> bool:
    """Whether this version of XLA has the option; it refuses those that it does not know."""
    try:
        jax.jit(lambda: 0, compiler_options={option: ""}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
