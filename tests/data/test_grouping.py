"""Batches of images that vary in size: grouping, padded sizes, random access by step."""

import pickle
from collections import Counter

import numpy as np
import pytest

from maskformer_jax.config import AugmentConfig
from maskformer_jax.data.grouping import BatchOrder, padded_sizes

CONFIG = AugmentConfig(short_edges=(48, 64), max_size=100, color=False)
SIZES = np.array([[40, 60]] * 11 + [[60, 40]] * 5 + [[50, 50]] * 2)
WIDE = set(range(11))


def make_order(sizes=SIZES, config=CONFIG, batch_size=4, seed=3):
    return BatchOrder(sizes, config, batch_size=batch_size, seed=seed)


def examples(plan):
    return [row.example for row in plan.rows]


def test_batches_are_wide_or_not_and_padded_to_their_kind():
    order = make_order()
    kinds = Counter()
    for step in range(60):
        plan = order.plan(step)
        is_wide = {example in WIDE for example in examples(plan)}
        assert len(is_wide) == 1
        expected = (64, 128) if is_wide == {True} else (128, 64)
        assert plan.size == expected
        assert all(np.less_equal(row.geometry.size, plan.size).all() for row in plan.rows)
        kinds[plan.size] += 1
    assert abs(kinds[(64, 128)] / 60 - 11 / 18) < 0.05


def test_every_image_comes_once_in_each_epoch_of_its_kind():
    order = make_order()
    streams = {True: [], False: []}
    for step in range(90):
        for example in examples(order.plan(step)):
            streams[example in WIDE].append(example)
    for stream, size in ((streams[True], 11), (streams[False], 7)):
        for start in range(0, len(stream) - size, size):
            assert len(set(stream[start : start + size])) == size
        assert stream[:size] != stream[size : 2 * size]


def test_a_batch_is_given_as_soon_as_it_is_full():
    """Batches come in the order in which two queues, fed from one stream, fill up."""
    order = make_order(batch_size=3)
    expected, queues = [], ([], [])
    for number in range(6):
        epoch = order._epoch(number)
        for place, example in enumerate(epoch.order.tolist()):
            height, width = epoch.geometries.size[place]
            queue = queues[int(height >= width)]
            queue.append(example)
            if len(queue) == 3:
                expected.append(list(queue))
                queue.clear()
    assert [examples(order.plan(step)) for step in range(len(expected))] == expected


@pytest.mark.parametrize("first", [0, 7, 31])
def test_any_step_can_be_asked_first(first):
    order = make_order()
    expected = [order.plan(step) for step in range(40)]
    assert [make_order().plan(step) for step in range(first, 40)] == expected[first:]
    assert pickle.loads(pickle.dumps(order)).plan(first) == expected[first]


def test_the_seed_decides():
    assert make_order().plan(0) != make_order(seed=4).plan(0)


def test_fewer_images_than_a_batch():
    order = make_order(sizes=SIZES[:3], batch_size=8)
    counts = Counter(example for step in range(3) for example in examples(order.plan(step)))
    assert counts == {0: 8, 1: 8, 2: 8}


def test_crops_can_change_the_kind():
    config = AugmentConfig(
        short_edges=(48,),
        max_size=100,
        crop_kind="absolute_range",
        crop_size=(20, 40),
        crop_probability=1.0,
        pre_crop_short_edges=(40,),
    )
    order = make_order(config=config)
    kinds = {example: set() for example in range(18)}
    for step in range(80):
        plan = order.plan(step)
        for example in examples(plan):
            kinds[example].add(plan.size)
    assert all(len(sizes) == 2 for sizes in kinds.values())


def test_the_smallest_bucket_that_fits():
    buckets = ((64, 100), (100, 64), (48, 80), (80, 48))
    config = AugmentConfig(short_edges=(48, 64), max_size=100, buckets=buckets)
    order = make_order(config=config, batch_size=2)
    seen = set()
    for step in range(60):
        plan = order.plan(step)
        height, width = np.max([row.geometry.size for row in plan.rows], axis=0)
        fitting = [bucket for bucket in buckets if height <= bucket[0] and width <= bucket[1]]
        assert plan.size in fitting
        assert np.prod(plan.size) == min(np.prod(bucket) for bucket in fitting)
        seen.add(plan.size)
    assert seen == set(buckets)


def test_without_buckets_the_sizes_are_multiples_of_32():
    config = AugmentConfig(short_edges=(480, 800), max_size=1333)
    assert padded_sizes(config) == ((800, 1344), (1344, 800))
    assert padded_sizes(AugmentConfig(short_edges=(512,), max_size=400)) == ((416, 416), (416, 416))
