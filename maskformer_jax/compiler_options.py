"""Compiler options without which XLA would be slow or would undo what a program asks for."""

from functools import cache

import jax
from jax.sharding import SingleDeviceSharding

Options = dict[str, str | bool]

# A library whose kernel gradients of convolutions take up to five times as long as XLA's own and
# are ten times less precise; forwards it is a little faster (docs/benchmarks.md). An empty list of
# fusion types leaves it out.
_NO_YNN: Options = {"xla_cpu_experimental_ynn_fusion_type": ""}

# The CPU compiler takes JAX's optimization barriers out before it looks for equal computations and
# for what can be fused, so that they would have no effect; without this pass they stay.
_KEEP_BARRIERS: Options = {"xla_disable_hlo_passes": "cse_barrier_expander"}

# Before a convolution of a few images the TPU compiler cuts each into up to 32 strips and
# convolves those as a batch. Every norm, sum and activation beside it then copies between the two
# forms, which costs several times what the convolution gains (docs/benchmarks.md). Not so with one
# image, whose batch axis would then lie where the chip works on 8 at a time. Either option alone
# changes nothing.
_NO_STRIPS: Options = {
    "xla_tpu_run_space_to_batch": "false",
    "xla_tpu_run_space_to_batch_on_new_platforms": "false",
}

# XLA's own kernels for products on GPUs take in the slices, transposes and joined axes on the way
# of a factor. There are shapes for which that ends in an error (jax-ml/jax, issue 40237) or with
# the process (openxla/xla, issue 47381). Without them products are cuBLAS's.
_NO_TRITON_PRODUCTS: Options = {"xla_gpu_enable_triton_gemm": False}


def training_options(device: jax.Device, *, images: int = 1, remat: bool = False) -> Options:
    """Options for `jax.jit(..., compiler_options=...)` of a program that has gradients.

    Args:
        device: one of those that the program is compiled for, which this process can use.
        images: that each device has at a time.
        remat: keep XLA from merging the recomputation that `jax.checkpoint` asks for with the first
            computation, without which nothing would be saved. It puts barriers between the two.
    """
    options = _common_options(device, images)
    if device.platform == "cpu":
        options |= _only_known(_NO_YNN, device)
        if remat:
            options |= _KEEP_BARRIERS
    return options


def inference_options(device: jax.Device, *, images: int = 1) -> Options:
    """Options for `jax.jit(..., compiler_options=...)` of a program without gradients.

    Args:
        device: one of those that the program is compiled for, which this process can use.
        images: that each device has at a time.
    """
    options = _common_options(device, images)
    if device.platform == "cpu":
        options |= _KEEP_BARRIERS  # those of `parts.computed_once`
    return options


def _common_options(device: jax.Device, images: int) -> Options:
    if device.platform == "gpu":
        return _only_known(_NO_TRITON_PRODUCTS, device)
    return _only_known(_NO_STRIPS, device) if device.platform == "tpu" and images > 1 else {}


def _only_known(options: Options, device: jax.Device) -> Options:
    """Those that this version of the compiler has; it refuses what it does not know."""
    return {name: value for name, value in options.items() if _is_known(name, value, device)}


@cache
def _is_known(name: str, value: str | bool, device: jax.Device) -> bool:
    sharding = SingleDeviceSharding(device)
    try:
        jax.jit(lambda: 0, out_shardings=sharding, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
