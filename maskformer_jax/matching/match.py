"""One-to-one matching of ground-truth segments to queries (paper section 3.2, arXiv 2107.06278).

The assignment is solved exactly, for all images and all decoder layers at once: by SciPy on the
host in one callback per device, or inside the compiled program.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from maskformer_jax.matching.assignment import assign_in_graph

TOO_LARGE = 1e30  # costs beyond it in size count as not finite: sums of them would overflow


def match(
    cost: Float[Array, "b l q n"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
    *,
    matcher: Literal["scipy", "jax"] = "scipy",
    mesh: Mesh | None = None,
) -> Int[Array, "b l n"]:
    """Give each segment the query of the cheapest one-to-one assignment; -1 where it has none.

    A segment stays without a query if its slot is unused, or if the image has more segments than
    there are queries and the others are cheaper. Costs that are not finite are replaced first, see
    `replace_nonfinite`; the criterion reports the images that have some.

    Args:
        cost: of each query for each segment.
        segment_valid: which slots hold a segment.
        matcher: "scipy" solves on the host, "jax" in the compiled program.
        mesh: over all of whose axes the images are split, where they are: each device solves its
            own. (A callback in automatically partitioned code would bring all costs to one device,
            and a loop would ask the other devices at every turn.)
    """

    def call_host(cost: Array, segment_valid: Array) -> Array:
        batch, layers, _, slots = cost.shape
        result = jax.ShapeDtypeStruct((batch, layers, slots), jnp.int32)
        return jax.pure_callback(solve_assignments, result, cost, segment_valid)

    solve = assign_in_graph if matcher == "jax" else call_host
    if mesh is not None:
        spec = PartitionSpec(mesh.axis_names)
        solve = jax.shard_map(
            solve, mesh=mesh, in_specs=(spec, spec), out_specs=spec, check_vma=False
        )
    segment_valid = jnp.asarray(segment_valid)
    # On some backends an exception in a callback goes unnoticed, and SciPy raises on NaN.
    return solve(replace_nonfinite(jax.lax.stop_gradient(cost), segment_valid), segment_valid)


def replace_nonfinite(
    cost: Float[Array, "b l q n"], segment_valid: Bool[Array, "b n"]
) -> Float[Array, "b l q n"]:
    """Put a finite cost in place of NaN, infinities and whatever is beyond `TOO_LARGE`.

    The same for all of them in a problem, and so large that no assignment holds one more of them
    than it must. Unused slots become 0.
    """
    used = segment_valid[:, None, None, :]
    fine = jnp.abs(cost) <= TOO_LARGE  # False for NaN
    low, high = (
        reduce(jnp.where(fine & used, cost, 0), axis=(2, 3), keepdims=True)
        for reduce in (jnp.min, jnp.max)
    )
    pairs = min(cost.shape[2:])
    replaced = jnp.where(fine, cost, high + (high - low + 1) * pairs)
    return jnp.where(used, replaced, 0)


def assign_fixed(
    labels: Int[Array, "b n"], segment_valid: Bool[Array, "b n"], *, num_layers: int
) -> Int[Array, "b l n"]:
    """The paper's ablation without matching: a segment of class c gets query c (section 4.3).

    Of several segments of one class in an image, which semantic targets do not have, the first.
    """
    same = (labels[:, :, None] == labels[:, None, :]) & segment_valid[:, None, :]
    earlier = jnp.tril(jnp.ones(labels.shape[1:] * 2, bool), -1)
    first = segment_valid & ~(same & earlier[None]).any(-1)
    assignment = jnp.where(first, labels, -1)[:, None]
    return jnp.broadcast_to(assignment, (len(labels), num_layers, labels.shape[1]))


def solve_assignments(
    cost: Float[Array | np.ndarray, "b l q n"], segment_valid: Bool[Array | np.ndarray, "b n"]
) -> Int[np.ndarray, "b l n"]:
    """Host side of `match`: NumPy and SciPy only, since JAX in a callback can deadlock.

    Callbacks hand over JAX arrays in spite of running on the host.
    """
    cost, segment_valid = np.asarray(cost), np.asarray(segment_valid)
    batch, layers, _, slots = cost.shape
    assignment = np.full((batch, layers, slots), -1, np.int32)
    for image in range(batch):
        used = np.flatnonzero(segment_valid[image])
        for layer in range(layers):
            queries, segments = linear_sum_assignment(cost[image, layer][:, used])
            assignment[image, layer, used[segments]] = queries
    return assignment
