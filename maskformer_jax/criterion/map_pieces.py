"""Rows of many pixels, in pieces that a TPU can take some of the rows from.

To take some rows of more than about 16 thousand numbers, a TPU copies all rows, piece by piece: in
a loop in every turn, which for maps of 200 x 336 pixels took longer than all else in it.
`take_rows` takes some of them, `take_of_each` one of n forms of each, such as gradients by slot.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LONGEST_ROW = 16384

Pieces = tuple[Float[Array, "b r _"], ...]


def with_pieces(function: Callable[[Pieces], Any], rows: Float[Array, "b r p"]) -> Any:
    """Call a function with the rows: whole, on a TPU in pieces where they are long."""
    if rows.shape[-1] <= LONGEST_ROW:
        return function((rows,))
    return jax.lax.platform_dependent(
        rows,
        # The barrier keeps the cutting out of loops.
        tpu=lambda rows: function(jax.lax.optimization_barrier(cut_rows(rows, LONGEST_ROW))),
        default=lambda rows: function((rows,)),
    )


def cut_rows(rows: Float[Array, "b r p"], length: int) -> Pieces:
    """Cut rows into pieces of `length` pixels; the last one may be shorter."""
    starts = range(0, rows.shape[-1], length)
    return tuple(rows[..., start : start + length] for start in starts)


def take_rows(pieces: Pieces, index: Int[Array, "b k"]) -> Float[Array, "b k p"]:
    """Take some rows, whole."""
    taken = [jnp.take_along_axis(piece, index[..., None], axis=1) for piece in pieces]
    return taken[0] if len(taken) == 1 else jnp.concatenate(taken, axis=-1)


def take_of_each(
    pieces: tuple[Float[Array, "n r _"], ...], index: Int[Array, "r k"]
) -> Float[Array, "r k p"]:
    """Take k of the n forms of each row, whole."""
    take = jax.vmap(lambda forms, which: forms[which], in_axes=(1, 0))
    taken = [take(piece, index) for piece in pieces]
    return taken[0] if len(taken) == 1 else jnp.concatenate(taken, axis=-1)
