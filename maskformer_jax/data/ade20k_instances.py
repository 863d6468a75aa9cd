"""The instance annotation of ADE20K (SceneParse150): class and instance number in two channels."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, UInt8

from maskformer_jax.categories import DatasetInfo
from maskformer_jax.errors import UserError

_NUM_THINGS = 100


def split_instances(
    instances: UInt8[np.ndarray, "h w 3"], info: DatasetInfo, *, name: str
) -> Iterator[tuple[int, Bool[np.ndarray, "h w"]]]:
    """Yield the label and the mask of each instance in the order of their numbers.

    Args:
        instances: red is the class in 1..100, green the number of the instance, 0 for none.
        info: `ade20k-panoptic`, whose things are the hundred classes in the same order.
        name: of the file, for messages.

    Raises:
        UserError: an instance has pixels of several classes, or of none of the hundred.
    """
    things = [label for label, category in enumerate(info.categories) if category.is_thing]
    number = instances[..., 1]
    for instance in np.unique(number).tolist():
        if instance == 0:
            continue
        mask = number == instance
        classes = np.unique(instances[mask, 0]).tolist()
        if len(classes) != 1 or not 1 <= classes[0] <= _NUM_THINGS:
            raise UserError(
                f"{name}: instance {instance} has the classes {classes}, but must have one of "
                f"1..{_NUM_THINGS}"
            )
        yield things[classes[0] - 1], mask
