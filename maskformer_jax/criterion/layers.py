"""Decoder layers all at once or, with `loss.by_layer`, one after the other to save memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def map_layers(
    function: Callable[[Any], Any], arrays: Any, *, one_by_one: bool, out_axis: int = 0
) -> Any:
    """Apply a function of arrays whose axis 0 is the decoder layers.

    Args:
        function: takes `arrays`, of any number of layers.
        arrays: of all layers.
        one_by_one: call it for one layer at a time, in a loop.
        out_axis: axis of the layers in the results.
    """
    if not one_by_one:
        return function(arrays)

    def one(layer: Any) -> Any:
        result = function(jax.tree.map(lambda x: x[None], layer))
        return jax.tree.map(lambda x: x.squeeze(out_axis), result)

    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, out_axis), jax.lax.map(one, arrays))
