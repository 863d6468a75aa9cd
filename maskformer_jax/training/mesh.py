"""Which device holds what: one mesh, the batch split over all of it, parameters over "fsdp"."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from maskformer_jax.config import MeshConfig
from maskformer_jax.errors import UserError
from maskformer_jax.types import Batch

BATCH_AXES = ("data", "fsdp")

# Smaller arrays stay whole on every device: splitting them costs more messages than it saves bytes.
MIN_SHARDED_SIZE = 2**14


def make_mesh(config: MeshConfig, *, batch_size: int) -> Mesh:
    """Arranges the devices as `data` x `fsdp`.

    All devices are used unless `data` says less (one process only).

    Raises:
        UserError: the devices do not suffice or divide, or the batch does not divide by them.
    """
    available = jax.device_count()
    data = available // config.fsdp if config.data == -1 else config.data
    wanted = data * config.fsdp
    too_few = wanted != available if jax.process_count() > 1 else wanted > available
    if wanted < 1 or too_few or (config.data == -1 and wanted != available):
        raise UserError(
            f"mesh.data={config.data} x mesh.fsdp={config.fsdp} does not fit the {available} "
            "devices there are; set mesh.data=-1 for all that are left"
        )
    if batch_size % wanted:
        raise UserError(
            f"train.batch_size={batch_size} does not divide by the {wanted} devices of the mesh; "
            f"take a multiple of {wanted}, or fewer devices with mesh.data"
        )
    return jax.make_mesh(
        (data, config.fsdp),
        BATCH_AXES,
        devices=jax.devices()[:wanted],
        # Auto: the compiler places collectives. (The default, Explicit, rejects convolutions.)
        axis_types=(AxisType.Auto,) * 2,
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Images over all devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(abstract_state: Any, mesh: Mesh) -> Any:
    """The sharding of every array of a train state (parameters, optimizer state, constants).

    An array is split over "fsdp" along its largest axis that divides evenly; small ones and those
    that do not divide stay whole. With fsdp = 1 everything is replicated.
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
    """The shapes and dtypes of `tree`, with these shardings, as `jax.ShapeDtypeStruct`s."""
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings,
    )


def local_devices(mesh: Mesh) -> list[Any]:
    """The devices of the mesh that belong to this process."""
    return [device for device in mesh.devices.flat if device in jax.local_devices()]


def batch_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Which row of the data's global batch each row of the device's batch is, int [batch_size].

    The processes read consecutive blocks, but a mesh may give a process devices, and so rows, that
    are not neighbours.
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
    """Moves this process's share of a batch to its devices, as one global batch."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)
