"""One-to-one matching of ground-truth segments to queries (paper section 3.2, arXiv 2107.06278).

Solved exactly for all images and decoder layers at once: by SciPy on the host, in one callback per
device, or inside the compiled program.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from maskformer_jax.matching.assignment import assign_in_graph

MAX_COST = 1e30  # larger absolute costs are treated as not finite: their sums could overflow


def match(
    cost: Float[Array | np.ndarray, "b l q n"],
    segment_valid: Bool[Array | np.ndarray, "b n"],
    *,
    matcher: Literal["auto", "scipy", "jax"] = "auto",
    mesh: Mesh | None = None,
) -> Int[Array, "b l n"]:
    """Give each segment the query of the cheapest one-to-one assignment; -1 where it has none.

    A segment gets no query if its slot is unused, or if its image has more segments than there are
    queries and leaving this one out is cheapest. Costs that are not finite are replaced first, see
    `replace_nonfinite`; the criterion reports the images that have any.

    Args:
        cost: between every query and every segment.
        segment_valid: which slots hold a segment.
        matcher: "scipy" solves on the host, "jax" in the compiled program; "auto" as
            `choose_matcher` says.
        mesh: of the devices over which images are sharded, along all of its axes; each device
            solves its own. (Automatic partitioning would gather all costs on one device for the
            callback, and synchronise devices at every iteration of the loop.)
    """

    def call_host(cost: Array, segment_valid: Array) -> Array:
        batch, layers, _, slots = cost.shape
        result = jax.ShapeDtypeStruct((batch, layers, slots), jnp.int32)
        return jax.pure_callback(solve_assignments, result, cost, segment_valid)

    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    solve = assign_in_graph if choose_matcher(matcher, platform) == "jax" else call_host
    if mesh is not None:
        spec = PartitionSpec(mesh.axis_names)
        solve = jax.shard_map(
            solve, mesh=mesh, in_specs=(spec, spec), out_specs=spec, check_vma=False
        )
    cost, segment_valid = jnp.asarray(cost), jnp.asarray(segment_valid)
    # SciPy raises on NaN, and some backends swallow exceptions in a callback.
    return solve(replace_nonfinite(jax.lax.stop_gradient(cost), segment_valid), segment_valid)


def choose_matcher(
    setting: Literal["auto", "scipy", "jax"], platform: str
) -> Literal["scipy", "jax"]:
    """What "auto" stands for: "scipy" on a CPU that keeps no compiled programs, else "jax".

    A callback makes an accelerator wait for the host in every step, and JAX does not write a
    program that has one to its compilation cache. Where neither matters, SciPy's compiled code is
    a little faster with few segments (docs/benchmarks.md).

    Args:
        setting: of `loss.matcher`.
        platform: of the devices, such as "cpu".
    """
    if setting != "auto":
        return setting
    settings: Any = jax.config
    cached = settings.jax_enable_compilation_cache and settings.jax_compilation_cache_dir
    return "scipy" if platform == "cpu" and not cached else "jax"


def replace_nonfinite(
    cost: Float[Array, "b l q n"], segment_valid: Bool[Array, "b n"]
) -> Float[Array, "b l q n"]:
    """Replace NaN, infinities and values beyond `MAX_COST` by a large finite cost.

    Within one problem (image and layer) they all get the same cost, so large that no optimal
    assignment has more of them than necessary: one more costs more than can be saved on all the
    other pairs of the assignment. Unused slots become 0.
    """
    used = segment_valid[:, None, None, :]
    finite = jnp.abs(cost) <= MAX_COST  # False for NaN
    low, high = (
        reduce(jnp.where(finite & used, cost, 0), axis=(2, 3), keepdims=True)
        for reduce in (jnp.min, jnp.max)
    )
    pairs = min(cost.shape[2:])  # at most so many in an assignment
    replaced = jnp.where(finite, cost, high + (high - low + 1) * pairs)
    return jnp.where(used, replaced, 0)


def assign_fixed(
    labels: Int[Array, "b n"], segment_valid: Bool[Array, "b n"], *, num_layers: int
) -> Int[Array, "b l n"]:
    """Fixed matching, the paper's ablation: a segment of class c gets query c (section 4.3).

    If several segments of an image have the same class, which semantic targets never do, the first
    one gets the query.
    """
    same = (labels[:, :, None] == labels[:, None, :]) & segment_valid[:, None, :]
    earlier = jnp.tril(jnp.ones(labels.shape[1:] * 2, bool), -1)
    first = segment_valid & ~(same & earlier[None]).any(-1)
    assignment = jnp.where(first, labels, -1)[:, None]
    return jnp.broadcast_to(assignment, (len(labels), num_layers, labels.shape[1]))


def solve_assignments(
    cost: Float[Array | np.ndarray, "b l q n"], segment_valid: Bool[Array | np.ndarray, "b n"]
) -> Int[np.ndarray, "b l n"]:
    """The host side of `match`: NumPy and SciPy only, since calling JAX in a callback can deadlock.

    Callbacks receive JAX arrays, even though they run on the host.
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
