"""Accelerators that programs can be compiled for without having one."""

from typing import NamedTuple


class Chip(NamedTuple):
    """What the maker states of one chip; TPUs of two cores count as one device."""

    name: str
    flops: float  # operations per second in bfloat16, without sparsity
    bandwidth: float  # bytes per second of its memory
    memory: float  # bytes
    interconnect: float  # bytes per second that it can receive from its neighbours
    clock: float | None  # cycles per second, where the compiler estimates cycles


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v4", 275e12, 1228e9, 32e9, 300e9, 1.05e9),
        Chip("v5e", 197e12, 819e9, 16e9, 200e9, 1.5e9),
        Chip("v5p", 459e12, 2765e9, 95e9, 600e9, 1.75e9),
        Chip("v6e", 918e12, 1640e9, 32e9, 448e9, 1.75e9),
        Chip("h100", 989e12, 3350e9, 80e9, 450e9, None),
    )
}

# How XLA's TPU compiler calls the usual arrangement of a chip's cores, where it has several.
TPU_ARRANGEMENT = {"v4": "megacore", "v5p": "megachip_tccontrol", "v6e": "megachip_tccontrol"}

# What XLA's GPU compiler wants to know, as it prints it on a machine that has the card.
H100_TARGET = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448 threads_per_core_limit: 2048
  core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
runtime_version { major: 12 minor: 8 patch: 0 }
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 7 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
