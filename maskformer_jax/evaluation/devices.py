"""Evaluation on several devices of one process, each working on its own images."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from maskformer_jax.compiler_options import inference_options

_AXIS = "images"


class LocalDevices:
    """Devices of this process that share an evaluation.

    Processes do not synchronise during an evaluation: each takes its own images, whose sizes
    differ from those of the others.

    Args:
        devices: of this process; by default the first one.
    """

    def __init__(self, devices: Sequence[jax.Device] | None = None) -> None:
        self._mesh = Mesh(np.array(devices or jax.local_devices()[:1]), (_AXIS,))

    def __len__(self) -> int:
        return self._mesh.size

    @property
    def platform(self) -> str:
        """Of the devices, such as "cpu"."""
        return self._mesh.devices.flat[0].platform

    def spread(self, function: Callable[[Any, Any], Any], *, images: int = 1) -> jax.stages.Wrapped:
        """Compile `function(variables, batch)` with axis 0 of batch and results sharded.

        Args:
            function: of variables and the batch of one device.
            images: in that batch.
        """
        options = inference_options(self._mesh.devices.flat[0], images=images)
        if len(self) == 1:
            return jax.jit(function, compiler_options=options)
        batch = PartitionSpec(_AXIS)
        return jax.jit(
            # With automatic sharding the compiler would gather all images on every device before
            # looping over them.
            jax.shard_map(
                function,
                mesh=self._mesh,
                in_specs=(PartitionSpec(), batch),
                out_specs=batch,
                check_vma=False,
            ),
            compiler_options=options,
        )

    def lower(
        self, function: Callable[[Any, Any], Any], variables: Any, batch: Any
    ) -> jax.stages.Lowered:
        """Lower `spread(function)` for these arguments; the batch may be shapes and dtypes."""
        sharding = NamedSharding(self._mesh, PartitionSpec(_AXIS))
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), batch
        )
        images = jax.tree.leaves(shapes)[0].shape[0] // len(self)
        return self.spread(function, images=images).lower(variables, shapes)

    def split(self, batch: Any) -> Any:
        """Send a batch to the devices, a part of axis 0 to each."""
        return jax.device_put(batch, NamedSharding(self._mesh, PartitionSpec(_AXIS)))

    def place(self, variables: Any) -> Any:
        """Replicate the variables on each device.

        Args:
            variables: on the host, on one device, or replicated over a mesh (possibly of several
                processes) that includes these devices; in that case nothing is copied.
        """
        replicated = NamedSharding(self._mesh, PartitionSpec())

        def place_array(array: Any) -> jax.Array:
            shards = getattr(array, "addressable_shards", ())
            by_device = {shard.device: shard.data for shard in shards}
            present = [by_device[d] for d in self._mesh.devices.flat if d in by_device]
            if len(present) < len(self) or any(data.shape != array.shape for data in present):
                return jax.device_put(array, replicated)
            return jax.make_array_from_single_device_arrays(array.shape, replicated, present)

        return jax.tree.map(place_array, variables)
