"""The views of test-time augmentation: their images and their buckets."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from maskformer_jax.config import TTAConfig
from maskformer_jax.data.eval_examples import ImageShape
from maskformer_jax.data.transforms import resize_image, shortest_edge_size
from maskformer_jax.evaluation.buckets import Bucket, Plan, make_bucket, merge_sizes
from maskformer_jax.types import Size

Views = tuple[tuple[Bucket, bool], ...]  # the bucket of each view, and whether it is mirrored


def expand_views(bucket: Bucket, settings: TTAConfig) -> Views:
    """All views of the images of a bucket, in the order of `make_views`."""
    kinds = (False, True) if settings.flip else (False,)
    return tuple((view, mirrored) for view in bucket.views for mirrored in kinds)


def view_sizes(image_size: Size, settings: TTAConfig) -> list[Size]:
    """The sizes of an image's views, in the order of `short_edges`."""
    return [
        shortest_edge_size(image_size, short_edge, settings.max_size)
        for short_edge in settings.short_edges
    ]


def make_views(
    image: UInt8[np.ndarray, "h w 3"], settings: TTAConfig
) -> Iterator[tuple[UInt8[np.ndarray, "_ _ 3"], bool]]:
    """Yield the views of an image, and whether they are mirrored.

    Sizes come in the order of `short_edges`, each plain and then mirrored. As published, all are
    made from the image as resized for evaluation, not from the original file.
    """
    height, width = image.shape[:2]
    for size in view_sizes((height, width), settings):
        resized = resize_image(image, size)
        yield resized, False
        if settings.flip:
            yield np.ascontiguousarray(resized[:, ::-1]), True


def add_views(
    plan: Plan,
    shapes: Sequence[ImageShape],
    settings: TTAConfig,
    *,
    most: int | None,
    size_divisibility: int,
    batch_size: int,
) -> Plan:
    """Give each bucket of a plan the buckets of its views.

    Args:
        plan: of images.
        shapes: of these images.
        settings: of the views.
        most: different image sizes of all views; None: as many as there are.
        size_divisibility: see `plan_buckets`.
        batch_size: likewise.
    """
    sizes_of = [view_sizes(shape.image_size, settings) for shape in shapes]
    views = [
        [
            make_bucket({ImageShape(sizes_of[i][scale], shapes[i].output_size) for i in group})
            for scale in range(len(settings.short_edges))
        ]
        for group in plan.members
    ]
    if most is not None:
        flat = [view for group in views for view in group]
        sizes = np.array([(*view.image_size, 0, 0) for view in flat], np.int64)
        counts = np.repeat([len(group) for group in plan.members], len(settings.short_edges))
        merged = merge_sizes(
            sizes,
            counts,
            most=most,
            size_divisibility=size_divisibility,
            batch_size=batch_size,
        )
        for group in np.unique(merged):
            members = np.flatnonzero(merged == group)
            height, width = sizes[members, :2].max(axis=0).tolist()
            # One program for all of them: it takes sizes for granted only if all have this one.
            exact = all(flat[i].exact and flat[i].image_size == (height, width) for i in members)
            for i in members:
                flat[i] = flat[i]._replace(image_size=(height, width), exact=exact)
        step = len(settings.short_edges)
        views = [flat[i : i + step] for i in range(0, len(flat), step)]
    buckets = [
        bucket._replace(views=tuple(group))
        for bucket, group in zip(plan.buckets, views, strict=True)
    ]
    return Plan(buckets, plan.members)
