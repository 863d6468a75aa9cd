"""The devices of one process, each of them evaluating images of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "images"


class LocalDevices:
    """Some devices of this process.

    Processes do not wait for each other in an evaluation: each takes its own images, whose sizes
    differ from those of the others.

    Args:
        devices: of this process; by default the first one.
    """

    def __init__(self, devices: Sequence[jax.Device] | None = None) -> None:
        self._mesh = Mesh(np.array(devices or jax.local_devices()[:1]), (_AXIS,))

    def __len__(self) -> int:
        return self._mesh.size

    def spread(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Compiles `function(variables, images)`: axis 0 of images and result over the devices."""
        if len(self) == 1:
            return jax.jit(function)
        images = PartitionSpec(_AXIS)
        return jax.jit(
            # Not left to the compiler: it would bring all images to every device, to loop there.
            jax.shard_map(
                function,
                mesh=self._mesh,
                in_specs=(PartitionSpec(), images),
                out_specs=images,
                check_vma=False,
            )
        )

    def place(self, variables: Any) -> Any:
        """A whole copy of the variables on each device.

        Args:
            variables: on the host or one device, or whole on every device of a mesh (of several
                processes) to which these devices belong.
        """
        whole = NamedSharding(self._mesh, PartitionSpec())

        def one(array: Any) -> jax.Array:
            shards = getattr(array, "addressable_shards", ())
            held = {shard.device: shard.data for shard in shards}
            there = [held[device] for device in self._mesh.devices.flat if device in held]
            if len(there) < len(self) or any(data.shape != array.shape for data in there):
                return jax.device_put(array, whole)
            return jax.make_array_from_single_device_arrays(array.shape, whole, there)

        return jax.tree.map(one, variables)
