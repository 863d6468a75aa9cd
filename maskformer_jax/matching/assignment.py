"""Exact linear sum assignment inside a compiled program (loss.matcher = "jax").

Shortest augmenting paths (Jonker and Volgenant 1987) in the rectangular form of Crouse 2016, which
SciPy uses too, after a greedy start. Shapes are static. All problems of a batch advance in
parallel, each through its own states, so the loop runs until the slowest problem is done.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int


def assign_in_graph(
    cost: Float[Array, "b l q n"], segment_valid: Bool[Array, "b n"]
) -> Int[Array, "b l n"]:
    """Give each segment the query of the cheapest one-to-one assignment; -1 where it has none.

    Exact up to rounding in the dtype of the costs. Unused slots take no part, whatever their cost.
    With more segments than queries, every query is given to some segment.

    Args:
        cost: finite everywhere, see `match.replace_nonfinite`.
        segment_valid: which slots hold a segment; not necessarily the first ones.
    """
    over_layers = jax.vmap(_assign_one, in_axes=(0, None))
    return jax.vmap(over_layers)(jnp.swapaxes(cost, 2, 3), segment_valid)


class _Search(NamedTuple):
    """State of one problem: n rows (segments) and c columns (queries, then dummy columns)."""

    row_price: Array  # [n], dual variable of each row
    column_price: Array  # [c], dual variable of each column
    row_of: Array  # int32 [c], the row that a column is assigned to, -1 for none
    column_of: Array  # int32 [n], the column that is assigned to a row, -1 for none
    # Searching a path from `root`, a row without a column, to a free column:
    root: Array  # int32, n when no row is left
    row: Array  # int32, the row to scan next
    distance: Array  # [c], length of the shortest known path to each column
    parent: Array  # int32 [c], the row before the column on this path
    reached: Array  # bool [c], whether `distance` is final
    shortest: Array  # length of the path to the column reached last
    # Augmenting along the path found, from its end back to `root`:
    column: Array  # int32, the column to reassign next, -1 while searching


def _assign_one(cost: Float[Array, "n q"], valid: Bool[Array, " n"]) -> Int[Array, " n"]:
    num_rows, num_queries = cost.shape
    num_columns = max(num_rows, num_queries)
    # Where segments outnumber queries, dummy columns of zero cost take the surplus: just as many as
    # are needed. The other dummy columns cost infinity.
    surplus = jnp.maximum(valid.sum() - num_queries, 0)
    index = jnp.arange(num_columns, dtype=jnp.int32)
    usable = index < num_queries + surplus
    cost = jnp.pad(cost, ((0, 0), (0, num_columns - num_queries)))
    cost = jnp.where(usable[None], cost, jnp.inf)

    state = jax.lax.while_loop(
        lambda state: state.root < num_rows,
        lambda state: _advance(state, cost, valid),
        _greedy_start(cost, valid),
    )
    return jnp.where(valid & (state.column_of < num_queries), state.column_of, -1)


def _greedy_start(cost: Array, valid: Array) -> _Search:
    """Assign each row its cheapest column, unless an earlier row has it already."""
    num_rows, num_columns = cost.shape
    rows = jnp.arange(num_rows, dtype=jnp.int32)
    wanted = cost.argmin(1).astype(jnp.int32)
    wants = valid[:, None] & (wanted[:, None] == jnp.arange(num_columns)[None])
    first = jnp.where(wants, rows[:, None], num_rows).min(0)
    row_of = jnp.where(first < num_rows, first, -1)
    column_of = jnp.where(valid & (first[wanted] == rows), wanted, -1)
    state = _Search(
        row_price=cost.min(1),
        column_price=jnp.zeros(num_columns, cost.dtype),
        row_of=row_of,
        column_of=column_of,
        root=jnp.int32(0),
        row=jnp.int32(0),
        distance=jnp.zeros(num_columns, cost.dtype),
        parent=jnp.zeros(num_columns, jnp.int32),
        reached=jnp.zeros(num_columns, bool),
        shortest=jnp.zeros((), cost.dtype),
        column=jnp.int32(-1),
    )
    return _next_root(state, valid)


def _next_root(state: _Search, valid: Array) -> _Search:
    """Start the search from the first row that has no column yet."""
    unassigned = valid & (state.column_of < 0)
    root = jnp.where(unassigned.any(), unassigned.argmax(), unassigned.size).astype(jnp.int32)
    return state._replace(
        root=root,
        row=root,
        distance=jnp.full_like(state.distance, jnp.inf),
        reached=jnp.zeros_like(state.reached),
        shortest=jnp.zeros_like(state.shortest),
        column=jnp.int32(-1),
    )


def _advance(state: _Search, cost: Array, valid: Array) -> _Search:
    """One step: scan one more row, or reassign one column of the path found."""
    searching = state.column < 0
    return _select(searching, _scan_row(state, cost), _reassign_column(state, valid))


def _scan_row(state: _Search, cost: Array) -> _Search:
    """Dijkstra's step from `row`; on reaching a free column, update the dual variables."""
    columns = jnp.arange(cost.shape[1], dtype=jnp.int32)
    step = cost[state.row] - state.row_price[state.row] - state.column_price
    through = state.shortest + step
    shorter = ~state.reached & (through < state.distance)
    distance = jnp.where(shorter, through, state.distance)
    parent = jnp.where(shorter, state.row, state.parent)
    open_distance = jnp.where(state.reached, jnp.inf, distance)
    shortest = open_distance.min()
    nearest = open_distance == shortest
    free = nearest & (state.row_of < 0)
    column = jnp.where(free.any(), free.argmax(), nearest.argmax()).astype(jnp.int32)
    reached = state.reached | (columns == column)
    found = state.row_of[column] < 0

    # In the search tree, prices of rows rise and those of columns fall by what the distance of the
    # column (of a row: the column assigned to it) is short of `shortest`.
    column_of = state.column_of
    in_tree = (column_of >= 0) & reached[column_of]
    rise = jnp.where(in_tree, shortest - distance[column_of], 0)
    rise = jnp.where(jnp.arange(column_of.size) == state.root, shortest, rise)
    fall = jnp.where(reached, shortest - distance, 0)
    return state._replace(
        row_price=jnp.where(found, state.row_price + rise, state.row_price),
        column_price=jnp.where(found, state.column_price - fall, state.column_price),
        row=state.row_of[column],
        distance=distance,
        parent=parent,
        reached=reached,
        shortest=shortest,
        column=jnp.where(found, column, -1),
    )


def _reassign_column(state: _Search, valid: Array) -> _Search:
    """Assign `column` to the row before it on the path; that row's old column comes next."""
    column = jnp.maximum(state.column, 0)
    row = state.parent[column]
    old_column = state.column_of[row]
    columns, rows = jnp.arange(state.row_of.size), jnp.arange(state.column_of.size)
    state = state._replace(
        row_of=jnp.where(columns == column, row, state.row_of),
        column_of=jnp.where(rows == row, column, state.column_of),
        column=old_column,
    )
    return _select(row == state.root, _next_root(state, valid), state)


def _select(condition: Array, if_true: _Search, if_false: _Search) -> _Search:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), if_true, if_false)
