"""What a recipe is made from: the sizes of the data and the memory of the devices."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from maskformer_jax.data.check_report import DatasetReport

_MEMINFO = Path("/proc/meminfo")
_GIB = 2**30


class Facts(NamedTuple):
    """Numbers about the data and the machine."""

    train_images: int
    short_side: int  # pixels, the median of the training images
    aspect: float  # long over short side, the median
    most_segments: int  # of one training image
    num_classes: int
    devices: int
    on_cpu: bool
    memory: int  # bytes of each device


def gather_facts(report: DatasetReport) -> Facts:
    """Read the numbers from a data set's check and from JAX's devices."""
    split = report.splits[0]
    sizes = np.array(split.sizes)
    short, long = sizes.min(axis=1), sizes.max(axis=1)
    devices = jax.devices()
    return Facts(
        train_images=len(sizes),
        short_side=int(np.median(short)),
        aspect=float(np.median(long / short)),
        most_segments=split.most_segments,
        num_classes=report.info.num_classes,
        devices=len(devices),
        on_cpu=devices[0].platform == "cpu",
        memory=device_memory(devices[0]),
    )


def device_memory(device: jax.Device) -> int:
    """Bytes that a device can use; for CPUs, what the machine has available."""
    limit = (device.memory_stats() or {}).get("bytes_limit", 0)
    if limit:
        return int(limit)
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 8 * _GIB
