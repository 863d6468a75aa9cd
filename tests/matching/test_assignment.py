"""The in-graph matcher against SciPy: the same optimal cost on all problems."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from maskformer_jax.matching.match import MAX_COST, assign_fixed, match, replace_nonfinite

LAYERS = 2
KINDS = ("random", "tied", "constant", "rank one", "large", "like costs", "non-finite")
solve = jax.jit(match, static_argnames="matcher")
replace = jax.jit(replace_nonfinite)


def draw(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    cost = rng.normal(size=shape)
    if kind == "tied":
        cost = rng.integers(0, 3, shape).astype(float)
    elif kind == "constant":
        cost = np.full(shape, 7.0)
    elif kind == "rank one":
        cost = rng.random((*shape[:-1], 1)) * rng.random((*shape[:-2], 1, shape[-1]))
    elif kind == "large":
        cost = cost * 1e4
    elif kind == "like costs":  # a class cost shared by all queries, and small differences
        cost = rng.random((*shape[:-2], 1, shape[-1])) * 20 + cost * 0.01
    elif kind == "non-finite":
        bad = np.array([np.nan, np.inf, -np.inf, 1e35])
        cost = np.where(rng.random(shape) < 0.3, rng.choice(bad, shape), cost)
    return cost.astype(np.float32)


def check(cost: np.ndarray, valid: np.ndarray, *, least_problems: int) -> None:
    """Both matchers give a valid assignment of the smallest total, -1 for unused slots."""
    queries = cost.shape[2]
    clean = np.asarray(replace(cost, valid)).astype(np.float64)
    assert np.isfinite(clean).all()
    found = [np.asarray(solve(cost, valid, matcher=matcher)) for matcher in ("scipy", "jax")]
    problems = 0
    for image, layer in np.ndindex(*cost.shape[:2]):
        used = np.flatnonzero(valid[image])
        best = clean[image, layer][:, used]
        best = best[linear_sum_assignment(best)].sum()
        for assignment in (matched[image, layer] for matched in found):
            slots = np.flatnonzero(assignment >= 0)
            assert set(slots) <= set(used)
            assert len(set(assignment[slots])) == len(slots) == min(len(used), queries)
            ours = clean[image, layer][assignment[slots], slots].sum()
            assert ours - best <= 1e-6 * max(1, abs(best))
        problems += 1
    assert problems >= least_problems


def run(queries: int, slots: int, *, images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (images, LAYERS, queries, slots)
    valid = rng.random((images, slots)) < rng.random((images, 1)) * 1.5  # some all, some none
    cost = np.concatenate([draw(kind, rng, shape) for kind in KINDS])
    check(cost, np.tile(valid, (len(KINDS), 1)), least_problems=images * LAYERS * len(KINDS))


@pytest.mark.parametrize(("queries", "slots"), [(7, 5), (4, 9)])
def test_optimal(queries: int, slots: int) -> None:
    run(queries, slots, images=20, seed=queries)


@pytest.mark.slow
@pytest.mark.parametrize(("queries", "slots"), [(1, 1), (5, 5), (12, 9), (9, 16), (40, 25)])
def test_optimal_on_ten_thousand_problems(queries: int, slots: int) -> None:
    run(queries, slots, images=145, seed=queries)  # 5 sizes x 145 images x 2 layers x 7 kinds


def test_unused_slots_and_their_costs_change_nothing() -> None:
    rng = np.random.default_rng(0)
    cost = rng.normal(size=(3, LAYERS, 7, 5)).astype(np.float32)
    valid = np.arange(5)[None] < np.array([[3], [0], [4]])
    tempting = np.where(valid[:, None, None], cost, np.nan).astype(np.float32)
    before, after = (solve(x, valid, matcher="jax") for x in (cost, tempting))
    np.testing.assert_array_equal(before, after)


def test_non_finite_costs_are_taken_only_where_there_is_no_other_way() -> None:
    cost = np.full((1, 1, 3, 2), -50.0, np.float32)
    cost[0, 0, 0, :] = [np.nan, -np.inf]
    cost[0, 0, 1, 0] = np.inf
    for matcher in ("scipy", "jax"):
        assignment = np.asarray(solve(cost, np.ones((1, 2), bool), matcher=matcher))[0, 0]
        np.testing.assert_array_equal(assignment, [2, 1])


@pytest.mark.parametrize("matcher", ["scipy", "jax"])
def test_one_non_finite_cost_is_worse_than_any_finite_assignment(matcher: str) -> None:
    # Going round the ring costs 1 for each of five pairs. The diagonal is free but for one NaN,
    # which must cost more than all pairs of the ring together.
    cost = np.full((1, 1, 5, 5), np.inf, np.float32)
    pairs = np.arange(5)
    cost[0, 0, (pairs + 1) % 5, pairs] = 1
    cost[0, 0, pairs, pairs] = 0
    cost[0, 0, 0, 0] = np.nan
    assignment = np.asarray(solve(cost, np.ones((1, 5), bool), matcher=matcher))[0, 0]
    np.testing.assert_array_equal(assignment, (pairs + 1) % 5)


def test_what_replaces_non_finite_costs() -> None:
    cost = np.array([[[[1.0, np.nan, 9.0], [-2.0, 3.0, np.nan]]]], np.float32)
    ours = replace(cost, np.array([[True, True, False]]))
    large = 3 + (3 - -2 + 1) * 2  # of the used slots' costs, at most two pairs
    np.testing.assert_array_equal(ours, [[[[1, large, 0], [-2, 3, 0]]]])
    limit = np.float32(MAX_COST)
    assert limit == pytest.approx(1e30)
    beyond = np.nextafter(limit, np.float32(np.inf))
    for sign in (1, -1):
        cost = np.array([[[[sign * limit, 0.0]]], [[[sign * beyond, 0.0]]]], np.float32)
        ours = np.asarray(replace(cost, np.ones((2, 2), bool)))
        np.testing.assert_array_equal(ours[:, 0, 0], [[sign * limit, 0], [1, 0]])


def test_each_problem_is_replaced_by_itself() -> None:
    cost = np.array([[[[np.inf, 1.0]], [[np.inf, 5.0]]]], np.float32)  # two layers
    ours = np.asarray(replace(cost, np.ones((1, 2), bool)))
    np.testing.assert_array_equal(ours[0, :, 0, 0], [1 + 2, 5 + 6])


def test_fixed_matching_gives_class_c_to_query_c() -> None:
    labels = np.array([[4, 0, 2, 0], [1, 1, 3, 0]])
    valid = np.array([[True, True, True, False], [False, True, True, False]])
    expected = [[4, 0, 2, -1], [-1, 1, 3, -1]]
    assignment = assign_fixed(jax.numpy.asarray(labels), jax.numpy.asarray(valid), num_layers=2)
    np.testing.assert_array_equal(assignment, np.stack([expected, expected], 1))
    twice = assign_fixed(
        jax.numpy.asarray(labels), jax.numpy.asarray(np.ones_like(valid)), num_layers=1
    )
    np.testing.assert_array_equal(twice[:, 0], [[4, 0, 2, -1], [1, -1, 3, 0]])  # the first
