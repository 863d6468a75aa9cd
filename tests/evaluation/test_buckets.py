"""Choosing buckets: few programs, little waste, every image in one that holds it."""

import numpy as np
import pytest

from maskformer_jax.data.eval_examples import ImageShape
from maskformer_jax.data.transforms import shortest_edge_size
from maskformer_jax.evaluation.buckets import (
    BucketPool,
    cost,
    holds,
    make_bucket,
    plan_buckets,
    round_up,
)

# Originals as in COCO val2017: mostly one landscape and one portrait size, and many others.
COMMON = [(480, 640)] * 30 + [(640, 480)] * 12 + [(427, 640)] * 14 + [(640, 427)] * 6
RARE = [(333, 500), (375, 500), (500, 375), (612, 612), (428, 640), (360, 640), (640, 513)]


def coco_shapes(originals: list[tuple[int, int]]) -> list[ImageShape]:
    return [ImageShape(shortest_edge_size(size, 800, 1333), size) for size in originals]


def waste(shapes: list[ImageShape], plan) -> float:
    spent = sum(
        len(group) * cost(bucket.shape, size_divisibility=0)
        for bucket, group in zip(plan.buckets, plan.members, strict=True)
    )
    return spent / sum(cost(shape, size_divisibility=0) for shape in shapes)


@pytest.mark.parametrize("most", [1, 2, 4, 6])
def test_every_image_has_a_bucket_that_holds_it(most):
    shapes = coco_shapes(COMMON + RARE)
    plan = plan_buckets(shapes, most=most)
    assert 1 <= len(plan.buckets) <= most
    assert sorted(i for group in plan.members for i in group) == list(range(len(shapes)))
    for bucket, group in zip(plan.buckets, plan.members, strict=True):
        assert all(holds(bucket, shapes[i]) for i in group)
        assert bucket == make_bucket({shapes[i] for i in group})


def test_few_buckets_waste_little():
    shapes = coco_shapes(COMMON + RARE)
    wastes = [waste(shapes, plan_buckets(shapes, most=most)) for most in (1, 2, 6)]
    assert wastes[0] > 1.5  # portraits in the bucket of landscapes
    assert wastes[1] < 1.25
    assert wastes[2] < 1.1


def test_a_program_must_save_more_than_it_costs():
    """Three images of another size are not worth a compilation if it saves a tenth of each."""
    shapes = [ImageShape((100, 100), (1, 1))] * 10 + [ImageShape((100, 90), (1, 1))] * 3
    assert len(plan_buckets(shapes, most=6).buckets) == 1
    many = [*shapes[:10], *[ImageShape((100, 90), (1, 1))] * 300]
    assert len(plan_buckets(many, most=6).buckets) == 2


def test_exact_plans_have_a_bucket_for_each_shape():
    shapes = coco_shapes(COMMON + RARE)
    plan = plan_buckets(shapes, most=None)
    assert len(plan.buckets) == len(set(shapes))
    assert all(bucket.exact for bucket in plan.buckets)
    assert waste(shapes, plan) == 1
    # An image of another size must not run in a program that takes sizes for granted.
    assert not holds(plan.buckets[0], shapes[-1])


def test_one_size_needs_no_data():
    plan = plan_buckets(coco_shapes([(480, 640)] * 3), most=6)
    assert plan.buckets[0].exact
    assert plan.members == [[0, 1, 2]]
    assert plan_buckets([], most=6).buckets == []


def test_thousands_of_sizes_are_planned_at_once():
    random = np.random.default_rng(0)
    originals = [(int(h), int(w)) for h, w in random.integers(200, 641, (4000, 2))]
    shapes = coco_shapes(originals)
    plan = plan_buckets(shapes, most=6)
    assert len(plan.buckets) == 6
    assert waste(shapes, plan) < 1.25
    assert all(
        holds(bucket, shapes[i])
        for bucket, group in zip(plan.buckets, plan.members, strict=True)
        for i in group
    )


def test_batches_that_are_not_full_are_counted():
    """With eight images at a time, a bucket for one image costs eight."""
    shapes = [ImageShape((100, 100), (1, 1))] * 7 + [ImageShape((40, 40), (1, 1))] * 40
    shapes[0] = ImageShape((100, 80), (1, 1))
    assert len(plan_buckets(shapes, most=3, batch_size=8).buckets) == 2


def test_padding_of_the_network_is_counted():
    """Sizes that are padded to the same multiple share a bucket at no cost."""
    shapes = [ImageShape((90, w), (1, 1)) for w in (97, 110, 128) for _ in range(50)]
    assert len(plan_buckets(shapes, most=6, size_divisibility=32).buckets) == 1
    assert len(plan_buckets(shapes, most=6, size_divisibility=0).buckets) > 1


def test_sides_are_rounded_up_to_quarters_of_powers_of_two():
    bucket = round_up(ImageShape((512, 683), (480, 641)))
    assert bucket.image_size == (512, 768)
    assert bucket.output_size == (512, 768)
    assert bucket.shrinkage == 2
    for side in range(1, 3000):
        rounded = round_up(ImageShape((side, 1), (side, 1))).image_size[0]
        assert side <= rounded <= 1.25 * side + 1


def test_images_one_by_one_share_buckets():
    pool = BucketPool(most=3, size_divisibility=0)
    shapes = [ImageShape((512, w), (480, 480)) for w in range(600, 760, 10)]
    assert len({pool.find(shape) for shape in shapes}) <= 2
    for shape in shapes:
        assert holds(pool.find(shape), shape)
    # When there are as many as allowed, a large one serves small images, too.
    tall = ImageShape((1400, 512), (480, 480))
    pool.find(tall)
    pool.find(ImageShape((1400, 1400), (900, 900)))
    tiny = pool.find(ImageShape((40, 1300), (30, 800)))
    assert tiny.image_size == (1536, 1536)
    # What fits into none still gets one.
    huge = ImageShape((3000, 3000), (2, 2))
    assert holds(pool.find(huge), huge)
