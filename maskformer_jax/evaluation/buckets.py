"""Choosing a few static sizes for images of many sizes.

Each bucket costs a compilation, each image the area of its bucket. Starting from one bucket for
each shape of an image, the two whose union wastes least are merged until few enough are left and
another compilation is worth more than what merging would waste.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from maskformer_jax.data.eval_examples import ImageShape
from maskformer_jax.resize import padded_size
from maskformer_jax.types import Size

OUTPUT_COST = 0.1  # of a pixel of the result, compared with one that passes through the network
# Of a compilation, in images of mean size. It takes as long as 12 images of 256 x 341 pixels on two
# CPU cores (docs/benchmarks.md), and fewer of larger ones.
PROGRAM_COST = 6.0
_MOST_SHAPES = 300  # with more, sizes are rounded up first: merging takes quadratic time
_ROUNDING = (32, 64)  # of images, of results


class Bucket(NamedTuple):
    """The sizes of one program, which bound those of its images."""

    image_size: Size
    output_size: Size
    shrinkage: float  # at least each side of every image over that of its result
    exact: bool  # whether all images have these very sizes, so that none of them is data
    views: tuple["Bucket", ...] = ()  # of the image sizes of test-time augmentation, in their order

    @property
    def shape(self) -> ImageShape:
        """The largest sizes."""
        return ImageShape(self.image_size, self.output_size)


class Plan(NamedTuple):
    """Buckets, and the images of each by their index."""

    buckets: list[Bucket]
    members: list[list[int]]


def plan_buckets(
    shapes: Sequence[ImageShape],
    *,
    most: int | None,
    size_divisibility: int = 0,
    batch_size: int = 1,
) -> Plan:
    """Distribute images over buckets.

    Args:
        shapes: of the images.
        most: number of buckets; None: one for each shape, however many.
        size_divisibility: the network's images are padded to a multiple of it; 0: not at all.
        batch_size: images that run at once; a batch that is not full costs as much as a full one.
    """
    if not shapes:
        return Plan([], [])
    number = Counter(shapes)
    distinct = sorted(number)
    sizes = np.array(distinct, np.int64).reshape(-1, 4)
    counts = np.array([number[shape] for shape in distinct])
    if most is None:
        group = np.arange(len(distinct))
    else:
        group = merge_sizes(
            sizes,
            counts,
            most=most,
            size_divisibility=size_divisibility,
            batch_size=batch_size,
        )
    group_of = dict(zip(distinct, group.tolist(), strict=True))
    members: dict[int, list[int]] = {}
    for index, shape in enumerate(shapes):
        members.setdefault(group_of[shape], []).append(index)
    order = sorted(members)
    return Plan(
        [make_bucket({shapes[i] for i in members[group]}) for group in order],
        [members[group] for group in order],
    )


def make_bucket(shapes: set[ImageShape]) -> Bucket:
    """The smallest bucket that holds these shapes."""
    height, width, output_height, output_width = np.array(list(shapes)).reshape(-1, 4).max(axis=0)
    return Bucket(
        (int(height), int(width)),
        (int(output_height), int(output_width)),
        shrinkage=max(_shrinkage(shape) for shape in shapes),
        exact=len(shapes) == 1,
    )


def holds(bucket: Bucket, shape: ImageShape) -> bool:
    """Whether an image of this shape may run in the bucket."""
    if bucket.exact:
        return shape == bucket.shape
    sides = zip(
        (*shape.image_size, *shape.output_size),
        (*bucket.image_size, *bucket.output_size),
        strict=True,
    )
    small = all(side <= bound for side, bound in sides)
    return small and _shrinkage(shape) <= bucket.shrinkage


def cost(shape: ImageShape, *, size_divisibility: int) -> float:
    """The cost of an image in a bucket of this shape."""
    height, width = padded_size(shape.image_size, size_divisibility)
    return height * width + OUTPUT_COST * shape.output_size[0] * shape.output_size[1]


def _shrinkage(shape: ImageShape) -> float:
    pairs = zip(shape.image_size, shape.output_size, strict=True)
    return max(before / after for before, after in pairs)


def merge_sizes(
    sizes: Int[np.ndarray, "n 4"],
    counts: Int[np.ndarray, " n"],
    *,
    most: int,
    size_divisibility: int,
    batch_size: int,
) -> Int[np.ndarray, " n"]:
    """Group sizes so that the largest of each group serves all of it.

    Args:
        sizes: height and width of the image, then of its result.
        counts: images of each.
        most: groups, at least 1.
        size_divisibility: see `plan_buckets`.
        batch_size: likewise.

    Returns:
        The number of the group of each size.
    """
    multiple = np.array([_ROUNDING[0]] * 2 + [_ROUNDING[1]] * 2)
    rounded = -(-sizes // multiple) * multiple if len(sizes) > _MOST_SHAPES else sizes
    corners, group = np.unique(rounded, axis=0, return_inverse=True)
    group = group.ravel()
    images = np.bincount(group, counts, minlength=len(corners))

    def total(corners: np.ndarray, images: np.ndarray) -> np.ndarray:
        """The cost of groups by their largest sizes and their numbers of images."""
        height, width, output_height, output_width = np.moveaxis(corners, -1, 0)
        if size_divisibility:
            height = -(-height // size_divisibility) * size_divisibility
            width = -(-width // size_divisibility) * size_divisibility
        slots = np.ceil(images / batch_size) * batch_size
        return slots * (height * width + OUTPUT_COST * output_height * output_width)

    def waste_with(i: int) -> np.ndarray:
        """What merging with group i adds to the cost, for each group."""
        merged = total(np.maximum(corners[i], corners), images[i] + images)
        added = merged - spent[i] - spent
        added[merged_away] = np.inf
        added[i] = np.inf
        return added

    spent = total(corners, images)
    program = PROGRAM_COST * spent.sum() / counts.sum()
    merged_away = np.zeros(len(corners), bool)
    waste = np.stack([waste_with(i) for i in range(len(corners))])
    for left in range(len(corners), 1, -1):
        i, j = (int(index) for index in np.unravel_index(np.argmin(waste), waste.shape))
        if left <= most and waste[i, j] > program:
            break
        corners[i] = np.maximum(corners[i], corners[j])
        images[i] += images[j]
        spent[i] = total(corners[i : i + 1], images[i : i + 1])[0]
        group[group == j] = i
        merged_away[j] = True
        waste[j], waste[:, j] = np.inf, np.inf
        waste[i] = waste_with(i)
        waste[:, i] = waste[i]
    return np.unique(group, return_inverse=True)[1].ravel()


class BucketPool:
    """Buckets for images that come one by one, so that few programs are compiled.

    An image goes to the cheapest bucket there is, unless a new one for its size, rounded up, costs
    much less.

    Args:
        most: number of buckets beyond which a new one is made only where no other holds an image.
        size_divisibility: see `plan_buckets`.
    """

    def __init__(self, *, most: int, size_divisibility: int) -> None:
        self._most = most
        self._size_divisibility = size_divisibility
        self._buckets: list[Bucket] = []

    def find(self, shape: ImageShape) -> Bucket:
        """The bucket of an image of this shape."""
        new = round_up(shape)
        fitting = [bucket for bucket in self._buckets if holds(bucket, shape)]
        if fitting:
            best = min(fitting, key=self._cost)
            if len(self._buckets) >= self._most or self._cost(best) <= 1.5 * self._cost(new):
                return best
        self._buckets.append(new)
        return new

    def _cost(self, bucket: Bucket) -> float:
        return cost(bucket.shape, size_divisibility=self._size_divisibility)


def round_up(shape: ImageShape) -> Bucket:
    """A bucket with sides of 1, 1.25, 1.5 or 1.75 times a power of two."""

    def round_side(side: int) -> int:
        step = max(2 ** ((side - 1).bit_length() - 1) // 4, 1)
        return -(-side // step) * step

    (height, width), (output_height, output_width) = shape
    return Bucket(
        (round_side(height), round_side(width)),
        (round_side(output_height), round_side(output_width)),
        shrinkage=float(2.0 ** np.ceil(np.log2(max(_shrinkage(shape), 1)))),
        exact=False,
    )
