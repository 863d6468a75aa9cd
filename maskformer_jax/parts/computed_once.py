"""Values that are computed once, however many read them."""

from jax import Array, lax


def computed_once(x: Array) -> Array:
    """Keep the CPU compiler from computing a value again where it is read.

    It takes cheap operations into all their readers: the sum of a residual block also into that of
    the next, and so into the last of a stage, which then reads the convolutions of all its blocks.
    This has an effect in programs that `compiler_options.inference_options` compiles, which keep
    barriers; for a gradient the sums are kept anyway.
    """
    return lax.platform_dependent(x, cpu=lax.optimization_barrier, default=lambda x: x)
