"""The instance annotation of ADE20K (SceneParse150): which thing and which one, in two channels."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, UInt8

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.errors import UserError

_CLASSES = 100


def list_instances(
    instances: UInt8[np.ndarray, "h w 3"], info: DatasetInfo, *, name: str
) -> Iterator[tuple[int, Bool[np.ndarray, "h w"]]]:
    """Label and mask of each instance, in the order of their numbers.

    Args:
        instances: red is the class in 1..100, green the number of the instance, 0 for none.
        info: `ade20k-panoptic`, whose things are the hundred classes in their order.
        name: of the file, for messages.

    Raises:
        UserError: the pixels of one instance are not all of one of the hundred classes.
    """
    things = [label for label, category in enumerate(info.categories) if category.is_thing]
    number = instances[..., 1]
    for instance in np.unique(number).tolist():
        if instance == 0:
            continue
        mask = number == instance
        classes = np.unique(instances[mask, 0]).tolist()
        if len(classes) != 1 or not 1 <= classes[0] <= _CLASSES:
            raise UserError(
                f"{name}: instance {instance} has the classes {classes}; it must have one of 1..100"
            )
        yield things[classes[0] - 1], mask
