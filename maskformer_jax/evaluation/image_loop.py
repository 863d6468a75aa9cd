"""Working on the images of a batch one after another, each as if it were alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int


def map_alone(function: Callable[[Any], Any], batch: Any, *, count: Int[Array, ""]) -> Any:
    """Apply a function to the first images of a batch, with the same bits in every batch.

    `jax.lax.map` is no such loop: with one image the compiler takes it apart and merges it with
    what is around it, and with several it merges their reading and writing with the function's own
    operations. Sums of numbers are then rounded in other orders. Here images are read before
    their turn and results written after it, and the number of turns is data, so that what is
    compiled for a turn does not depend on the number of images.

    Args:
        function: of the arrays of one image.
        batch: the same arrays with a leading axis B.
        count: of images. Those that follow are left out, and their results have no meaning.

    Returns:
        The results with a leading axis B.
    """
    function = jax.jit(function)  # so that it is traced once
    slots = len(jax.tree.leaves(batch)[0])

    def take(i: Any) -> Any:
        return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), batch)

    def put(results: Any, one: Any, i: Any) -> Any:
        return jax.tree.map(
            lambda x, part: lax.dynamic_update_index_in_dim(x, part, i, 0), results, one
        )

    def turn(i: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        image, last, results = state
        # The first turn writes zeros to slot -1, the last one, whose own result comes later.
        return take(i + 1), function(image), put(results, last, i - 1)

    image = take(0)
    last = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, image))
    results = jax.tree.map(lambda x: jnp.zeros((slots, *x.shape), x.dtype), last)
    _, last, results = lax.fori_loop(0, count, turn, (image, last, results))
    return put(results, last, count - 1)
