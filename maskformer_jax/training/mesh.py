"""The device mesh: batches are split over all devices, parameters over the axis "fsdp"."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from maskformer_jax.config import MeshConfig
from maskformer_jax.errors import UserError
from maskformer_jax.types import Batch

BATCH_AXES = ("data", "fsdp")

# Smaller arrays are replicated: splitting them costs more in communication than it saves in memory.
MIN_SHARDED_SIZE = 2**14


def make_mesh(
    config: MeshConfig, *, batch_size: int, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Arrange the devices as a `data` x `fsdp` mesh.

    All devices are used unless `data` asks for fewer, which needs a single process.

    Args:
        config: the sides of the mesh.
        batch_size: which the devices share.
        devices: by default those of all processes.

    Raises:
        UserError: the mesh does not fit the devices, or the batch size is not a multiple of them.
    """
    devices = jax.devices() if devices is None else devices
    available, processes = len(devices), len({device.process_index for device in devices})
    data = available // config.fsdp if config.data == -1 else config.data
    wanted = data * config.fsdp
    too_few = wanted != available if processes > 1 else wanted > available
    if wanted < 1 or too_few or (config.data == -1 and wanted != available):
        raise UserError(
            f"config.mesh.data is {config.data} and config.mesh.fsdp is {config.fsdp}, which does "
            f"not fit the {available} devices; mesh.data -1 takes all that mesh.fsdp leaves"
        )
    if batch_size % wanted:
        raise UserError(
            f"config.train.batch_size is {batch_size}, but must be a multiple of {wanted}, the "
            "number of devices in the mesh (mesh.data can take fewer)"
        )
    return jax.make_mesh(
        (data, config.fsdp),
        BATCH_AXES,
        devices=devices[:wanted],
        # Auto: the compiler places collectives. (The default, Explicit, rejects convolutions.)
        axis_types=(AxisType.Auto,) * 2,
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding that splits axis 0, the images, over all devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding with a full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(abstract_state: Any, mesh: Mesh) -> Any:
    """Choose the sharding of every array of a train state.

    An array (parameter, optimizer moment or constant) is split over "fsdp" along its largest axis
    that divides evenly. Arrays below `MIN_SHARDED_SIZE` elements, and those without such an axis,
    are replicated; with fsdp = 1, all are.
    """
    parts = mesh.shape["fsdp"]

    def choose(array: jax.ShapeDtypeStruct) -> NamedSharding:
        axes = [i for i, size in enumerate(array.shape) if size % parts == 0]
        if parts == 1 or not axes or int(np.prod(array.shape)) < MIN_SHARDED_SIZE:
            return replicated(mesh)
        largest = max(axes, key=lambda i: array.shape[i])
        spec = ["fsdp" if i == largest else None for i in range(len(array.shape))]
        return NamedSharding(mesh, PartitionSpec(*spec))

    return jax.tree.map(choose, abstract_state)


def abstract_arrays(tree: Any, shardings: Any) -> Any:
    """Return the shapes and dtypes of `tree` with these shardings, as `jax.ShapeDtypeStruct`s."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings,
    )


def local_devices(mesh: Mesh) -> list[Any]:
    """Return the devices of the mesh that belong to this process."""
    return [device for device in mesh.devices.flat if device in jax.local_devices()]


def batch_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Return for each row of the global array its row in the input pipeline, int64 [batch_size].

    Each process reads a block of consecutive images, but the devices that a mesh assigns to a
    process, and hence its rows in the global array, need not be consecutive.
    """
    held: dict[int, set[int]] = {}
    placed: dict[Any, Any] = dict(batch_sharding(mesh).devices_indices_map((batch_size,)))
    for device, index in placed.items():
        held.setdefault(device.process_index, set()).update(range(batch_size)[index[0]])
    rows = np.empty(batch_size, np.int64)
    start = 0
    for process in sorted(held):
        rows[sorted(held[process])] = start + np.arange(len(held[process]))
        start += len(held[process])
    return rows


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Move this process's share of a batch to its devices, as part of one global array each."""
    sharding = batch_sharding(mesh)
    with jax.profiler.TraceAnnotation("send batch"):
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)
